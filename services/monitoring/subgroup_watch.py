"""Looks at subgroups whenever a window's labels are complete: is a group's error rate surely and plainly
worse than others'?

The look is at everything labelled so far, so that small groups come to count. A gap of a false positive or a
false negative rate is told when the group has enough labelled people, its adjusted p-value passes a level
that pays for looking again (alpha spending, as in `services.monitoring.quality_watch`), and the group's rate
lies at least `TOLD_GAP` above everyone else's and is at least `TOLD_RATIO` times it (the four-fifths rule of
29 CFR 1607.4 D, read for error rates). All such groups of a deployment share one alert, worst first: that a
model errs unequally is one cause. It is updated when a group joins or a gap grows by `WORSE_BY`, and
resolved when no gap is left.

Severity: WARNING; CRITICAL when the worst gap reaches `CRITICAL_GAP`.
"""

import math
from dataclasses import dataclass

import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2

from services.monitoring import alerts, comparison, profiles, sentences
from services.monitoring.alerts import TrackedAlert, day_start
from services.monitoring.profiles import Series
from services.monitoring.references import Reference

ERROR_RATES = ("false_positive_rate", "false_negative_rate")
# Points of 1, and times. A smaller gap is shown on the page of subgroups and in audits, but wakes nobody.
TOLD_GAP = 0.05
TOLD_RATIO = 1.25
CRITICAL_GAP = 0.20
WORSE_BY = 0.02
DESCRIBED_GAPS = 5


@dataclass(frozen=True)
class Gap:
    """One group's rate against everyone else's: `size` in points of 1, above 0."""

    key: str
    group: str
    rate: str
    size: float
    sentence: str


def look(
    connection: sa.Connection, series: Series, reference: Reference, day: int, number: int
) -> list[monitoring_pb2.Alert]:
    """Look number `number` (from 1), up to the labels of `day`; the alerts that changed."""
    total = profiles.read_total(connection, series)
    if total is None:
        return []
    spent = reference.task.watch.false_alarm_rate * 6 / (math.pi**2 * max(1, number) ** 2)
    found = gaps(comparison.subgroups(total, reference), spent)
    active = alerts.active(connection, series.deployment, series.model_version)
    tracked = next((item for item in active if item.alert.kind == monitoring_pb2.ALERT_KIND_SUBGROUP), None)
    if not found:
        if tracked is None:
            return []
        alerts.resolve(connection, tracked, day_start(day + 1))
        return [tracked.alert]
    if tracked is None:
        first_day = profiles.all_series(connection, series.deployment)[series].first_day
        alert = monitoring_pb2.Alert(
            deployment=series.deployment,
            model_version=series.model_version,
            kind=monitoring_pb2.ALERT_KIND_SUBGROUP,
            start_time=day_start(first_day),
            detect_time=day_start(day + 1),
        )
        tracked = TrackedAlert(alert, {"told": {}})
    tracked.alert.last_seen_time.CopyFrom(day_start(day + 1))
    told = tracked.track["told"]
    changed = any(gap.size >= told.get(gap.key, -1.0) + WORSE_BY for gap in found)
    if changed:
        tracked.track["told"] = {**told, **{gap.key: gap.size for gap in found}}
        _describe(reference, tracked.alert, found)
    if tracked.alert.id:
        alerts.save(connection, tracked)
    else:
        alerts.open_alert(connection, tracked)
    return [tracked.alert] if changed else []


def gaps(
    groups: list[monitoring_pb2.SubgroupQuality],
    level: float,
    *,
    least: float = TOLD_GAP,
    ratio: float = TOLD_RATIO,
) -> list[Gap]:
    """Gaps of at least `least` points and `ratio` times that are sure at `level`, worst first.

    A crossing only where neither of its own groups is among them.
    """
    found = []
    for group in groups:
        for gap in group.gaps:
            sure = not math.isnan(gap.adjusted_p_value) and gap.adjusted_p_value < level
            large = gap.difference.value >= least and not gap.ratio.value < ratio
            if group.suppressed or gap.rate not in ERROR_RATES or not sure or not large:
                continue
            key = "&".join(f"{name}={value}" for name, value in sorted(group.group.items()))
            found.append(
                Gap(f"{key}:{gap.rate}", group.display_name, gap.rate, gap.difference.value, gap.sentence)
            )
    plain = {gap.key for gap in found if "&" not in gap.key}
    kept = [
        gap
        for gap in found
        if gap.key in plain or not any(f"{part}:{gap.rate}" in plain for part in _parts(gap))
    ]
    return sorted(kept, key=lambda gap: -gap.size)


def _parts(gap: Gap) -> list[str]:
    return gap.key.rpartition(":")[0].split("&")


def _describe(reference: Reference, alert: monitoring_pb2.Alert, found: list[Gap]) -> None:
    worst = found[0]
    rate = worst.rate.replace("_", " ")
    others = len({gap.group for gap in found} - {worst.group})
    also = f", and {others} other group{'s fare' if others > 1 else ' fares'} worse too" if others else ""
    above = f"{sentences.points(worst.size)} above everyone else's"
    alert.title = f"Unequal errors: the {rate} of people who are {worst.group} is {above}{also}"
    told = [gap.sentence.rstrip(".") + "." for gap in found[:DESCRIBED_GAPS]]
    told.append(f"A positive decision means: {reference.task.purpose.positive_decision_means.strip()}")
    alert.description = " ".join(told)
    alert.suggested_action = (
        "Look at the page of subgroup errors with someone who knows these people. Ask whether the inputs "
        "say less about them, whether "
        "they were few among the rows that the model learnt from, and whether a person should decide in "
        "their cases."
    )
    alert.severity = (
        monitoring_pb2.ALERT_SEVERITY_CRITICAL
        if worst.size >= CRITICAL_GAP
        else monitoring_pb2.ALERT_SEVERITY_WARNING
    )
