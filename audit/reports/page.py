"""A page as HTML that needs nothing else: no script, no font, no picture from elsewhere.

The one template of all reports and documents is `page.html.j2` beside this module. Charts are SVG in two
colours that the colour-blind can tell apart (Okabe and Ito, 2008), with every figure in text beside them.
"""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.reports import layout

if TYPE_CHECKING:
    from jinja2 import Template

# Rates that are not shares of people, by the name that people know them by.
NAMES = {"auc": "AUC", "brier": "Brier score", "calibration_error": "Calibration error"}


def page_html(page: layout.Page) -> str:
    """The page as one HTML file. All its texts are escaped."""
    return _template().render(page=page)


def words(name: str) -> str:
    """The name of a rate or setting for people: `false_positive_rate` is "False positive rate"."""
    return NAMES.get(name, name.replace("_", " ").capitalize())


def share_text(value: float | None) -> str:
    """A share in per cent with one decimal; "unknown" for `None` and NaN."""
    return "unknown" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def estimate_text(found: Mapping[str, Any], *, of_one: bool = False) -> str:
    """`81.2 % (80.1 % to 82.3 %)`; with `of_one` `0.812 (0.801 to 0.823)`; what is unknown says why.

    `found` is an estimate as JSON: `value`, `lower`, `upper` (null where unknown) and `warnings`.
    """
    warnings = "; ".join(found["warnings"])
    if found["value"] is None:
        return f"unknown: {warnings}" if warnings else "unknown"
    value, lower, upper = (
        None if number is None else f"{number:.3f}" if of_one else f"{100 * number:.1f} %"
        for number in (found["value"], found["lower"], found["upper"])
    )
    told = f"{value} ({lower} to {upper})" if lower and upper else str(value)
    return f"{told}; {warnings}" if warnings else told


def quality_table(caption: str, rated: Mapping[str, Mapping[str, Any] | None]) -> layout.Table:
    """Rates row by row, a column for each set of predictions that is rated (by its title)."""
    first: Mapping[str, Any] = next((found for found in rated.values() if found), {})
    names = [name for name, found in first.items() if isinstance(found, Mapping) and "value" in found]
    rows = tuple(
        (
            words(name),
            *(
                "" if found is None else estimate_text(found[name], of_one=name in NAMES)
                for found in rated.values()
            ),
        )
        for name in names
    )
    return layout.Table(caption, ("Rate", *rated), rows)


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(place=_place)
    return environment.get_template("page.html.j2")


def _place(value: float, width: int) -> str:
    """A share as a place on a scale of `width`."""
    return f"{width * min(max(value, 0.0), 1.0):.1f}"
