"""New York City Local Law 144, rules 5-301, and the four-fifths rule: the tables as published."""

import pytest

from audit.fairness.impact import impact_ratios

SEX = {"Male": (1390, 667, 1.0), "Female": (1181, 555, 0.979)}
RACE = {
    "Hispanic": (408, 204, 0.97),
    "White": (797, 412, 1.00),
    "Black": (390, 170, 0.84),
    "Native Hawaiian, Pacific Islander": (119, 52, 0.85),
    "Asian": (616, 302, 0.95),
    "Native American": (41, 18, 0.85),
    "Two or more": (213, 96, 0.87),
}
CROSSED = {
    "White male": (412, 215, 1.0),
    "Hispanic male": (205, 90, 0.841),
    "Hispanic female": (190, 82, 0.827),
    "Black male": (226, 95, 0.806),
    "Black female": (164, 75, 0.876),
    "Native Hawaiian male": (87, 37, 0.815),
    "Native Hawaiian female": (32, 15, 0.898),
    "Asian male": (321, 167, 0.997),
    "Asian female": (295, 135, 0.877),
    "Native American male": (24, 11, 0.878),
    "Native American female": (17, 7, 0.789),
    "Two or more male": (115, 52, 0.866),
    "Two or more female": (98, 44, 0.860),
    "White female": (385, 197, 0.981),
}


@pytest.mark.parametrize(("table", "digits"), [(SEX, 3), (RACE, 2), (CROSSED, 3)])
def test_local_law_144(table: dict[str, tuple[int, int, float]], digits: int) -> None:
    found = impact_ratios({category: row[:2] for category, row in table.items()})
    assert {one.category: round(one.ratio, digits) for one in found} == {
        category: row[2] for category, row in table.items()
    }


def test_a_category_under_two_per_cent_is_left_out_with_a_reason() -> None:
    found = {
        one.category: one
        for one in impact_ratios({name: row[:2] for name, row in RACE.items()}, smallest_share=0.02)
    }
    left_out = found["Native American"]
    assert left_out.excluded == "41 of 2,584 applicants are 1.6 %, less than 2 %: left out of the ratios"
    assert left_out.rate.value == 18 / 41
    assert not left_out.flagged
    assert round(found["Black"].ratio, 2) == 0.84
    assert found["Black"].excluded == ""


def test_sixty_against_forty_five_per_cent_is_flagged() -> None:
    high, low = impact_ratios({"a": (100, 60), "b": (100, 45)})
    assert (high.ratio, high.flagged) == (1.0, False)
    assert (low.ratio, low.flagged) == (pytest.approx(0.75), True)


@pytest.mark.parametrize("people", [5, 50, 30_000_005])
def test_exactly_four_fifths_passes_and_one_person_less_does_not(people: int) -> None:
    exact = impact_ratios({"a": (people, people), "b": (people, 4 * people // 5)})[1]
    assert (exact.ratio, exact.flagged) == (0.8, False)
    assert impact_ratios({"a": (people, people), "b": (people, 4 * people // 5 - 1)})[1].flagged


def test_people_of_unknown_category_are_reported_and_not_rated() -> None:
    counts = {category: row[:2] for category, row in SEX.items()} | {"Unknown": (250, 250)}
    male, female, unknown = impact_ratios(counts, smallest_share=0.02, unknown=["Unknown"])
    assert (male.ratio, round(female.ratio, 3)) == (1.0, 0.979)
    assert (unknown.applicants, unknown.flagged, unknown.ratio != unknown.ratio) == (250, False, True)
    assert unknown.excluded == "250 applicants whose category is unknown: reported and not rated"
    without = impact_ratios({category: row[:2] for category, row in SEX.items()}, smallest_share=0.02)
    assert [male, female] == without
    with pytest.raises(ValueError, match="no counts of Other"):
        impact_ratios(counts, unknown=["Other"])
