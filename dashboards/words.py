"""Plain words for numbers, so that a page says what is seen before it draws it."""

import math

from boarfish.v1 import common_pb2, task_pb2


def percent(value: float, digits: int = 1) -> str:
    """`0.1234` as `12.3 %`; an unknown number as `not known yet`."""
    return "not known yet" if math.isnan(value) else f"{100 * value:.{digits}f} %"


def between(estimate: common_pb2.Estimate) -> str:
    """An estimate with its interval, or why there is none."""
    if math.isnan(estimate.value):
        return estimate.warnings[0] if estimate.warnings else "not known yet"
    if math.isnan(estimate.lower):
        return percent(estimate.value)
    return (
        f"{percent(estimate.value)} ({estimate.confidence:.0%} interval "
        f"{percent(estimate.lower)} to {percent(estimate.upper)})"
    )


def number_with_interval(estimate: common_pb2.Estimate) -> str:
    """An estimate of any unit with its interval (`0.8731 (0.8612 to 0.885)`), or why there is none."""
    if math.isnan(estimate.value):
        return estimate.warnings[0] if estimate.warnings else "not known"
    if math.isnan(estimate.lower):
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ({estimate.lower:.4g} to {estimate.upper:.4g})"


def duration(seconds: float) -> str:
    """A time span as one says it: `40 seconds`, `3 minutes`, `2.5 hours`."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def spoken(name: str) -> str:
    """A name of the contract as people write it: `tabular_net` as `tabular net`."""
    return name.replace("_", " ")


def rate_in_words(rate: str, task: task_pb2.Task) -> str:
    """What a rate means for the people of this task."""
    positive, negative = task.decision.positive_label, task.decision.negative_label
    target = task.target.name
    meanings = {
        "false_positive_rate": f"Of the people whose true outcome is not “{target}”, the share decided "
        f"“{positive}” all the same.",
        "false_negative_rate": f"Of the people whose true outcome is “{target}”, the share decided "
        f"“{negative}” all the same.",
        "selection_rate": f"Of all people, the share decided “{positive}”.",
        "accuracy": "Of the people whose outcome is known, the share decided rightly.",
        "positive_predictive_value": f"Of the people decided “{positive}”, the share whose true outcome is "
        f"“{target}”.",
    }
    return meanings[rate]
