"""Plain sentences about windows and alerts, for people who have not seen the code.

Shares are said in whole per cents where they are 1 % or more, values by the meaning that the task gives
them. "Value" and "bin" are the profile's; a column is called by its name, since that is what a person will
look for in the data.
"""

import datetime as dt
import math
from collections.abc import Sequence

from boarfish.v1 import common_pb2, monitoring_pb2, task_pb2

SIMULATED = " (simulated)"
NEARLY = 0.8


def per_cent(share: float) -> str:
    """0.113 as `11 %`; below 1 % with one digit more."""
    if math.isnan(share):
        return "unknown"
    digits = 0 if share == 0 or abs(share) >= 0.01 else 1
    return f"{100 * share:.{digits}f} %"


def points(difference: float) -> str:
    """-0.031 as `3.1 points`, without its sign."""
    return f"{100 * abs(difference):.1f} points"


def date(day: int) -> str:
    """Days since 1970 as `8 October 2018`."""
    moment = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    return f"{moment.day} {moment:%B %Y}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def meaning(task: task_pb2.Task, column: str, value: str) -> str:
    """`value 1 (with a disability)`, or what a bin or a missing value is called."""
    for feature in task.features:
        if feature.name == column:
            if feature.type == task_pb2.FEATURE_TYPE_NUMERIC:
                return f"values {value}"
            return f"value {value} ({feature.values[value]})" if value in feature.values else f"value {value}"
    return f"value {value}"


def column_sentence(task: task_pb2.Task, column: str, shares: Sequence[monitoring_pb2.ValueShare]) -> str:
    """What a column's distance is most due to: `DIS: value 1 (with a disability) went from 11 % to 89 %`."""
    if not shares:
        return ""
    sizes = [_contribution(share.window_share, share.reference_share) for share in shares]
    # Where two values traded places, the one that grew says it best.
    large = [share for share, size in zip(shares, sizes, strict=True) if size >= NEARLY * max(sizes)]
    most = max(large, key=lambda share: share.window_share - share.reference_share)
    name = meaning(task, column, most.value)
    return f"{column}: {name} went from {per_cent(most.reference_share)} to {per_cent(most.window_share)}"


def _contribution(window: float, reference: float) -> float:
    """What one value adds to the Jensen-Shannon divergence, in bits."""
    middle = (window + reference) / 2
    return sum(share * math.log2(share / middle) / 2 for share in (window, reference) if share > 0)


def drift_title(evidence: Sequence[monitoring_pb2.ColumnDrift], simulations: Sequence[str]) -> str:
    """One line for a drift alert, its worst column first."""
    worst = evidence[0]
    change = worst.sentence.partition(": ")[2]
    rest = len(evidence) - 1
    others = f", and {rest} other input{'s' if rest > 1 else ''} moved with it" if rest else ""
    return f"{worst.column} moved: {change}{others}{SIMULATED if simulations else ''}"


def simulation_sentence(simulations: Sequence[str]) -> str:
    """Says that an incident was played; empty for real traffic."""
    if not simulations:
        return ""
    return f"This is a simulated incident ({listed(list(simulations))}): it was played on purpose."


def estimate(value: common_pb2.Estimate) -> str:
    """`81 % (80 % to 82 %)`."""
    if math.isnan(value.value):
        return "unknown"
    if math.isnan(value.lower):
        return f"{100 * value.value:.1f} %"
    return f"{100 * value.value:.1f} % ({100 * value.lower:.1f} % to {100 * value.upper:.1f} %)"
