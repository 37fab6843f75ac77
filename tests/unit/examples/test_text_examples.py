"""What the examples of texts make of their sources, and what their peers say."""

import numpy as np
import pyarrow as pa
import pytest
from boarfish.v1 import task_pb2

from examples.shakespeare.data import PASSAGE_CHARACTERS, passages
from examples.text_peers import tf_idf_accuracy, trigram_perplexity
from models.recipe import Problem
from services.training.prepare import Prepared
from tests.unit.models.small_texts import OPINION, WRITING, opinions


def prepared(problem: Problem, train: pa.Table, valid: pa.Table) -> Prepared:
    task = task_pb2.Task(training=task_pb2.TrainingPlan(models=[task_pb2.ModelPlan()]))
    task.training.models[0].language_model.encoder.minimum_count = 1
    return Prepared(task, problem, train, valid)


def test_passages_are_whole_speeches_and_lose_nothing() -> None:
    speeches = [f"Speaker {number}.\n" + "word " * (20 * number % 90) for number in range(60)]
    found = list(passages("\r\n \r\n".join(speeches)))
    assert "\n\n".join(found).split() == " ".join(speeches).split()
    assert all(len(passage) >= PASSAGE_CHARACTERS for passage in found[:-1])
    assert all(passage.startswith("Speaker") for passage in found)


def test_logistic_regression_tells_opinions_apart() -> None:
    assert tf_idf_accuracy(prepared(OPINION, opinions(240), opinions(60, seed=1))) > 0.95


def test_trigrams_of_a_chain_know_what_follows() -> None:
    """Three words in turn: after one word the next is certain, so only smoothing costs."""
    chain = pa.table({"text": ["one two three " * 200]})
    assert trigram_perplexity(prepared(WRITING, chain, chain)) == pytest.approx(1.0, abs=0.01)


def test_trigrams_of_noise_know_frequencies_alone() -> None:
    generator = np.random.default_rng(0)
    train, valid = (
        pa.table({"text": [" ".join(generator.choice(list("abcdefgh"), 4000))]}) for _ in range(2)
    )
    assert trigram_perplexity(prepared(WRITING, train, valid)) == pytest.approx(8, rel=0.05)
