"""Reports: findings that are there and no others, JSON that is plain, a page that stands on its own."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from audit.drift.columns import MISSING, bin_names, compare_columns
from audit.profiles.profile import Profile
from audit.profiles.schema import ProfileSchema
from audit.reports import Thresholds, build_report, render_html
from tests.unit.audit.made_profiles import SCHEMA, profile

THRESHOLDS = Thresholds(minimum_group_size=100)


def made(
    count: int, seed: int, *, swapped: bool = False, unfair: bool = False, labelled: bool = True
) -> Profile:
    """People of two sexes with a code; `swapped` exchanges its values, `unfair` misses women more often."""
    rng = np.random.default_rng(seed)
    code, sex = rng.binomial(1, 0.1, count), rng.integers(1, 3, count)
    label = rng.random(count) < 0.5
    right = rng.random(count) < np.where((sex == 2) & label & unfair, 0.5, 0.85)
    score = np.where(right == label, 0.8, 0.2)
    texts = pa.array([str(value) for value in sex])
    rows = pa.table({"code": 1 - code if swapped else code, "age": rng.normal(40, 9, count), "SEX": texts})
    profile = Profile.empty(_SCHEMA)
    profile.add_rows(rows, score, score >= 0.5)
    if labelled:
        profile.add_labels(score, score >= 0.5, label, {"SEX": texts})
    return profile


_SCHEMA = ProfileSchema.fit(
    pa.table({"code": [0, 1], "age": [20.0, 60.0]}), numeric=["age"], categorical=["code"], sensitive=["SEX"]
)
REFERENCE = made(5_000, 1)


def report(window: Profile) -> dict[str, object]:
    names = {"SEX": {"1": "male", "2": "female"}}
    return build_report(
        window, REFERENCE, title="People", identity={"model": "<m>"}, names=names, thresholds=THRESHOLDS
    )


def test_a_quiet_period_is_called_quiet() -> None:
    found = report(made(2_000, 2))["findings"]
    assert isinstance(found, list)
    assert len(found) == 3
    assert found[0].startswith("Accuracy was ")
    assert found[0].endswith("no fall that matters is sure.")
    assert found[1] == "No input has surely moved by 0.1 or more (2,000 people seen)."
    assert found[2] == "No group's error rates surely differ from everyone else's."


def test_what_moved_who_is_missed_and_what_was_played_is_said() -> None:
    window = made(2_000, 3, swapped=True, unfair=True)
    window.note(1_538_956_800_000_000, 1_540_166_400_000_000, ["code-swap"])
    whole = report(window)
    found = whole["findings"]
    assert isinstance(found, list)
    assert found[0].startswith("Simulated incidents were played (code-swap)")
    assert "points below the reference's" in found[1]
    assert re.match(r"code moved \(distance 0\.\d\d\): 0 went from 9\d\.\d % to \d+\.\d %\.", found[2])
    assert re.match(
        r"Of people whose outcome was positive, the model missed \d+\.\d % among people who are female",
        found[3],
    )
    assert whole["period"] == {
        "start_time": "2018-10-08T00:00:00+00:00",
        "end_time": "2018-10-22T00:00:00+00:00",
    }
    assert [column["moved"] for column in whole["columns"]] == [True, False]  # type: ignore[attr-defined]


def test_without_labels_accuracy_is_estimated_and_groups_are_not_rated() -> None:
    whole = report(made(2_000, 4, labelled=False))
    found = whole["findings"]
    assert isinstance(found, list)
    assert found[0].startswith("Accuracy is estimated at ")
    assert re.match("Too few people with a known outcome to rate: (male, fe|female, )male", found[-1])


@pytest.mark.parametrize("count", [0, 1, 5])
def test_of_no_one_of_one_and_of_five_nothing_is_claimed(count: int) -> None:
    whole = report(made(count, 5))
    told = json.dumps(whole, allow_nan=False)
    assert "points below" not in told
    assert not any(column["moved"] for column in whole["columns"])  # type: ignore[attr-defined]
    assert render_html(whole)
    if count:
        assert "too few to say" in told


def test_rows_without_scores_say_that_nothing_is_known_of_quality() -> None:
    window = Profile.empty(_SCHEMA)
    window.add_rows(pa.table({"code": [0] * 50, "age": [40.0] * 50}))
    whole = report(window)
    assert whole["findings"][0] == "The rows carry no scores: nothing can be said of quality."  # type: ignore[index]
    assert "<h2>Quality</h2>" not in render_html(whole)


class Page(HTMLParser):
    """Tags that are open, headings seen, and whatever would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe") or any(name in ("src", "href") for name, _ in attrs):
            self.foreign.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_fetches_nothing() -> None:
    window = made(3_000, 6, swapped=True, unfair=True)
    html = render_html(json.loads(json.dumps(report(window), allow_nan=False)))
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.foreign == []
    assert page.headings[0] == "h1"
    assert page.headings.count("h1") == 1
    assert '<html lang="en">' in html
    assert "&lt;m&gt;" in html
    assert html.count("<svg") == html.count('aria-hidden="true"') > 4
    assert html.count("<table>") == html.count("<caption>")
    for words in ("Findings", "Methods and thresholds", "Minimum group size: 100", "what moved"):
        assert words in html


def test_columns_are_compared_value_by_value_with_missing_ones_last() -> None:
    window, reference = profile(400, 1), profile(900, 2)
    found = {one.column: one for one in compare_columns(window, reference)}
    assert list(found) == ["age", "code", "town"]
    assert found["code"].values == ("-2", "-1", "0", "1", "2", "3", "4", "any other value", MISSING)
    assert found["code"].window.sum() == found["town"].window.sum() == found["age"].window.sum() == 400
    assert found["town"].missing_share == window.column("town").missing_count / 400
    assert all(one.distance < 0.1 and one.p_value > 0.001 for one in found.values())
    nothing = compare_columns(Profile.empty(SCHEMA), reference)[0]
    assert (np.isnan(nothing.distance), nothing.p_value, np.isnan(nothing.missing_share)) == (True, 1.0, True)
    with pytest.raises(ValueError, match="different schemas"):
        compare_columns(window, REFERENCE)


def test_a_column_that_goes_missing_has_moved() -> None:
    window = Profile.empty(_SCHEMA)
    window.add_rows(pa.table({"age": [40.0] * 500}))
    found = {one.column: one for one in compare_columns(window, REFERENCE)}["code"]
    assert (found.missing_share, found.raw_distance) == (1.0, 1.0)


def test_bins_are_named_by_their_edges() -> None:
    assert bin_names((18.0, 65.5)) == ["below 18", "18 to 65.5", "65.5 and more"]
    assert bin_names(()) == ["any number"]
