"""New York City Local Law 144: the sample tables of rules 5-301, as the document gives them."""

import re

import pytest

from audit.reports.documents.bias_audit import selection_section, selection_table
from audit.reports.layout import Page
from audit.reports.page import page_html

SEX = {"Male": (1390, 667, "1.000"), "Female": (1181, 555, "0.979")}
CROSSED = {
    "Hispanic male": (205, 90, "0.841"),
    "Hispanic female": (190, 82, "0.827"),
    "White male": (412, 215, "1.000"),
    "White female": (385, 197, "0.981"),
    "Black male": (226, 95, "0.806"),
    "Black female": (164, 75, "0.876"),
    "Native Hawaiian male": (87, 37, "0.815"),
    "Native Hawaiian female": (32, 15, "0.898"),
    "Asian male": (321, 167, "0.997"),
    "Asian female": (295, 135, "0.877"),
    "Native American male": (24, 11, "0.878"),
    "Native American female": (17, 7, "0.789"),
    "Two or more male": (115, 52, "0.866"),
    "Two or more female": (98, 44, "0.860"),
}
# The rules give these with two digits; rates and ratios are not rounded before.
RACE = {
    "Hispanic": (408, 204, ".97"),
    "White": (797, 412, "1.00"),
    "Black": (390, 170, ".84"),
    "Native Hawaiian, Pacific Islander": (119, 52, ".85"),
    "Asian": (616, 302, ".95"),
    "Native American": (41, 18, ".85"),
    "Two or more": (213, 96, ".87"),
}


def shown(
    counts: dict[str, tuple[int, int, str]], *, smallest_share: float = 0.0
) -> tuple[dict[str, tuple[int, int, str]], str]:
    """The table's rows as they stand on the page, and the page."""
    pairs = {category: row[:2] for category, row in counts.items()}
    table = selection_table("sex", pairs, unknown_count=250, smallest_share=smallest_share)
    html = page_html(Page("Bias audit", (), (selection_section(table),)))
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html, re.DOTALL)
    found = {}
    for category, cells in rows:
        texts = [re.sub("<.*?>", "", one, flags=re.DOTALL) for one in cells.split("</td>")]
        found[category] = (int(texts[0].replace(",", "")), int(texts[1].replace(",", "")), texts[4].strip())
    return found, html


@pytest.mark.parametrize("counts", [SEX, CROSSED])
def test_by_sex_and_by_crossing_to_the_third_digit(counts: dict[str, tuple[int, int, str]]) -> None:
    assert shown(counts)[0] == counts


def test_by_race_to_the_second_digit() -> None:
    pairs = {category: row[:2] for category, row in RACE.items()}
    table = selection_table("race", pairs, smallest_share=0.0)
    assert {one.category: f"{one.ratio:.2f}".lstrip("0") for one in table.impacts} == {
        category: row[2] for category, row in RACE.items()
    }
    assert [row[:2] for row in shown(RACE)[0].values()] == [row[:2] for row in RACE.values()]


@pytest.mark.parametrize("applicants", [0, 1, 5, 17])
def test_of_few_the_ratio_is_given_and_not_judged(applicants: int) -> None:
    html = shown({"A": (100, 60, ""), "B": (applicants, applicants // 8, "")})[1]
    assert 'class="mark"' not in html
    assert f"B: {applicants} applicants are too few to say." in html


def test_people_of_no_known_category_are_counted_and_not_rated() -> None:
    assert "250 people are of no known category: not rated." in shown(SEX)[1]


def test_below_four_fifths_is_marked_and_below_two_per_cent_left_out_with_the_reason() -> None:
    marked = re.findall(
        r'<span class="mark">(.*?)</span>', shown({"A": (100, 60, ""), "B": (100, 45, "")})[1]
    )
    assert marked == ["0.750"]
    assert 'class="mark"' not in shown({"A": (100, 60, ""), "B": (100, 48, "")})[1]
    found, html = shown(CROSSED, smallest_share=0.02)
    left_out = {category for category, row in found.items() if row[2] == "not rated"}
    assert left_out == {"Native Hawaiian female", "Native American male", "Native American female"}
    assert "Native American female: 17 of 2,571 applicants are 0.7 %, less than 2 %" in html
