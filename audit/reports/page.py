"""A report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

The layout is `page.html.j2` beside this module. Charts are SVG in two colours that the colour-blind can
tell apart (Okabe and Ito, 2008), with every figure in text beside them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {"auc": "AUC", "brier": "Brier score", "calibration_error": "Calibration error"}
DRAWN_RATES = ("false_negative_rate", "false_positive_rate", "selection_rate")


def render_html(report: Mapping[str, Any]) -> str:
    """`report` is what `build_report` gives, also after JSON. All its texts are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(words=_words, share=_share, estimate=_estimate, place=_place)
    return environment.get_template("page.html.j2").render(
        r=report, drawn_rates=DRAWN_RATES, of_one=tuple(NAMES)
    )


def _words(name: str) -> str:
    return NAMES.get(name, name.replace("_", " ").capitalize())


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _estimate(found: Mapping[str, Any], of_one: bool = False) -> str:
    """`81.2 % (80.1 % to 82.3 %)`; with `of_one` `0.812 (0.801 to 0.823)`; what is unknown says why."""
    if found["value"] is None:
        return "unknown: " + "; ".join(found["warnings"]) if found["warnings"] else "unknown"
    value, lower, upper = (
        None if number is None else f"{number:.3f}" if of_one else f"{100 * number:.1f} %"
        for number in (found["value"], found["lower"], found["upper"])
    )
    told = f"{value} ({lower} to {upper})" if lower and upper else str(value)
    return f"{told}; {'; '.join(found['warnings'])}" if found["warnings"] else told


def _place(value: float | None, width: int) -> str:
    """A share as a place on a scale of `width`."""
    return f"{width * min(max(value or 0.0, 0.0), 1.0):.1f}"
