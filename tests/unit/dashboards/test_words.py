"""Numbers in words: with their interval, or with why there is none."""

import math

from boarfish import load_task
from boarfish.v1 import common_pb2

from dashboards.words import between, percent, rate_in_words


def test_a_number_is_a_percentage_and_an_unknown_one_says_so():
    assert percent(0.1234) == "12.3 %"
    assert percent(math.nan) == "not known yet"


def test_an_estimate_tells_its_interval():
    estimate = common_pb2.Estimate(value=0.5, lower=0.4, upper=0.6, confidence=0.95, count=100)
    assert between(estimate) == "50.0 % (95% interval 40.0 % to 60.0 %)"


def test_an_unknown_estimate_tells_its_first_warning():
    estimate = common_pb2.Estimate(value=math.nan, warnings=["no labels yet"])
    assert between(estimate) == "no labels yet"
    assert between(common_pb2.Estimate(value=math.nan)) == "not known yet"


def test_a_rate_is_told_in_the_words_of_the_task():
    task = load_task("examples/employment/task.yaml")
    assert "“at work”" in rate_in_words("false_positive_rate", task)
    assert "“offer counselling”" in rate_in_words("false_negative_rate", task)
