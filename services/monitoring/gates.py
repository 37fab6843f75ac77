"""Gates: does what a task asks for before a rung hold now? Conditions are the task's, evidence is kept here.

The arithmetic is `audit.gates`'; nothing here reads the lake, and nothing is written. The task is the one
that the model version was trained for, as its reference carries it, so that a gate is loosened only by
training under a task file that says so. Accuracy and gaps are of everything that the version has predicted,
with intervals that hold however often a gate is asked; drift is that of the newest complete window.
"""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import monitoring_pb2 as pb
from boarfish.v1 import task_pb2

from audit import gates
from audit.estimate import CONFIDENCE, Estimate
from audit.experiments.differences import TIGHTEST_AT
from audit.fairness.groups import display_name
from audit.gates import Check, Verdict
from audit.profiles.profile import Profile
from audit.profiles.quality import QualityProfile
from audit.profiles.subgroups import Group
from audit.rot.quality import FEW
from services.common import profiling
from services.monitoring import alerts, appeals, comparison, profiles, tables
from services.monitoring.consumer import Position
from services.monitoring.drift_statistics import Change, compare
from services.monitoring.profiles import DAY_US, Series
from services.monitoring.references import Reference, References
from services.monitoring.windows import Span, Windows, find_deployment, find_series

RUNGS = ("assisted", "canary", "full")
DAY_S = 86_400.0
_VERDICTS = {
    Verdict.PASS: pb.GATE_VERDICT_PASS,
    Verdict.FAIL: pb.GATE_VERDICT_FAIL,
    Verdict.INCONCLUSIVE: pb.GATE_VERDICT_INCONCLUSIVE,
}
_GAPS = {
    "false_positive_rate": "the gap in false positive rates",
    "false_negative_rate": "the gap in false negative rates",
    "selection_rate": "the gap in shares of positive decisions",
}


class Gates:
    """Evaluates gates. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine, references: References, windows: Windows) -> None:
        self._engine = engine
        self._references = references
        self._windows = windows

    def evaluate(self, request: pb.EvaluateGateRequest) -> pb.EvaluateGateResponse:
        """Every condition of a rung's gate, and what they come to.

        Raises `NotFound` for an unknown deployment or model version, `InvalidArgument` for a rung that can
        have no gate.
        """
        rung = request.rung.casefold().removeprefix("rung_")
        if rung not in RUNGS:
            text = f"is {request.rung!r}; must be one of {', '.join(RUNGS)}"
            raise InvalidArgument.of(FieldViolation("rung", text))
        with self._engine.connect() as connection:
            position = find_deployment(connection, request.deployment)
            series = find_series(connection, position, request.model_version)
            reference = self._references.get(series.model_version)
            assert reference is not None
            gate = next((gate for gate in reference.task.gates if gate.rung == rung), None)
            seen = _Seen(connection, position, series, reference, self._windows)
            result = gates.evaluate(list(seen.checks(gate)) if gate is not None else [])
        return pb.EvaluateGateResponse(
            verdict=_VERDICTS[result.verdict],
            reasons=result.reasons,
            checks=[
                pb.GateCheck(name=one.name, verdict=_VERDICTS[one.verdict], sentence=one.sentence)
                for one in result.checks
            ],
            model_version=series.model_version,
        )


@dataclass(frozen=True)
class _Seen:
    """What is known of a model version when its gate is asked."""

    connection: sa.Connection
    position: Position
    series: Series
    reference: Reference
    windows: Windows

    def checks(self, gate: task_pb2.Gate) -> Iterator[Check]:
        """The conditions that a gate has."""
        total = profiles.read_total(self.connection, self.series)
        total = Profile.empty(self.reference.profile.schema) if total is None else total
        quality = total.quality or QualityProfile(total.schema.score_bin_count)
        if gate.HasField("minimum_labelled_count"):
            name, least = "minimum_labelled_count", gate.minimum_labelled_count
            yield gates.count_at_least(
                name, "predictions whose outcome is known", quality.labelled_count, least
            )
        tightest_at = gate.minimum_labelled_count or TIGHTEST_AT
        if gate.HasField("minimum_accuracy"):
            right = quality.true_positives + quality.true_negatives
            accuracy = gates.lasting_share(right, quality.labelled_count, tightest_at=tightest_at)
            yield gates.at_least("minimum_accuracy", "accuracy by labels", accuracy, gate.minimum_accuracy)
        if gate.HasField("largest_subgroup_gap"):
            yield from self._gaps(gate.largest_subgroup_gap, total, tightest_at)
        if gate.HasField("largest_drift"):
            yield self._drift(gate.largest_drift)
        yield from self._counts(gate)
        if gate.checklist_answered:
            questions = [
                one.question
                for one in self.reference.task.ethics_checklist
                if not (one.answer and one.answered_by)
            ]
            yield gates.answered("checklist_answered", "ethics checklist", questions)
        if gate.HasField("audit_within_days"):
            yield gates.done_within(
                "audit_within_days",
                "audit of this model version",
                self._audit_age_days(),
                gate.audit_within_days,
            )

    def _counts(self, gate: task_pb2.Gate) -> Iterator[Check]:
        name = self.series.deployment
        if gate.HasField("maximum_open_alerts"):
            found = len(alerts.unresolved(self.connection, name))
            yield gates.count_at_most(
                "maximum_open_alerts", "alerts that are not resolved", found, gate.maximum_open_alerts
            )
        if gate.HasField("maximum_open_appeals"):
            found = appeals.open_count(self.connection, name)
            yield gates.count_at_most(
                "maximum_open_appeals", "appeals that are not answered", found, gate.maximum_open_appeals
            )

    def _gaps(self, asked: task_pb2.LargestSubgroupGap, total: Profile, tightest_at: int) -> Iterator[Check]:
        names = profiling.group_names(self.reference.task)
        groups = {
            group: counts for group, counts in total.subgroups.items() if len(group) == 1 or asked.crossings
        }
        for rate, what in _GAPS.items():
            if not asked.HasField(rate):  # type: ignore[arg-type]
                continue
            judged, too_few = self._judged(groups, rate)
            confidence = 1 - (1 - CONFIDENCE) / max(1, len(judged))
            found = {
                f"{what} between people who are {display_name(group, names)} and everyone else": (
                    gates.lasting_gap(
                        _hits(groups[group], rate),
                        _others(total.quality, groups[group], rate),
                        confidence=confidence,
                        tightest_at=tightest_at,
                    )
                )
                for group in judged
            }
            bound = getattr(asked, rate)
            few = [display_name(group, names) for group in too_few]
            yield gates.each_at_most(f"largest_subgroup_gap.{rate}", what, found, bound, too_few=few)

    def _judged(self, groups: dict[Group, QualityProfile], rate: str) -> tuple[list[Group], list[Group]]:
        """Groups with enough people behind the rate, and the others, larger ones first."""
        least = max(FEW, self.reference.task.watch.minimum_group_size)
        people = {group: _hits(counts, rate)[1] for group, counts in groups.items()}
        ordered = sorted(people, key=lambda group: (-people[group], group))
        return [one for one in ordered if people[one] >= least], [
            one for one in ordered if people[one] < least
        ]

    def _drift(self, bound: float) -> Check:
        window = self._newest_complete()
        distances: dict[str, Estimate] = {}
        if window is not None:
            counts = comparison.column_counts(window, self.reference.profile)
            before = comparison.column_counts(self.reference.profile, self.reference.profile)
            confidence = 1 - (1 - CONFIDENCE) / max(1, len(counts))
            distances = {
                f"the distance of {name} from the reference, in the newest complete window,": (
                    _distance(compare(counts[name], before[name]), confidence)
                )
                for name in counts
            }
        what = "how far inputs are from the reference"
        return gates.each_at_most("largest_drift", what, distances, bound)

    def _newest_complete(self) -> Profile | None:
        length = self.reference.task.watch.window_days
        total = profiles.all_series(self.connection, self.series.deployment).get(self.series)
        if total is None:
            return None
        over = min(total.last_day + 1, self.position.watermark_us // DAY_US) // length
        for number in (over - 1, over - 2):
            start, end = number * length, (number + 1) * length
            days = profiles.day_counts(self.connection, self.series, start, end)
            if days:
                return self.windows.merged(self.connection, self.series, Span(start, end, days))
        return None

    def _audit_age_days(self) -> float | None:
        """Age of the newest audit of this model version; `None` where there is none."""
        table = tables.audit
        query = sa.select(table.c.audit).where(table.c.deployment == self.series.deployment)
        for blob in self.connection.scalars(query.order_by(table.c.number.desc())):
            audit = pb.Audit.FromString(blob)
            if audit.model_version == self.series.model_version:
                age = dt.datetime.now(dt.UTC) - audit.create_time.ToDatetime(dt.UTC)
                return max(0.0, age.total_seconds() / DAY_S)
        return None


def _hits(counts: QualityProfile, rate: str) -> tuple[int, int]:
    """Numerator and denominator of a rate."""
    return {
        "false_positive_rate": (counts.false_positives, counts.false_positives + counts.true_negatives),
        "false_negative_rate": (counts.false_negatives, counts.false_negatives + counts.true_positives),
        "selection_rate": (counts.positive_decision_count, counts.row_count),
    }[rate]


def _others(everyone: QualityProfile | None, group: QualityProfile, rate: str) -> tuple[int, int]:
    if everyone is None:
        return 0, 0
    (hits, count), (mine, my_count) = _hits(everyone, rate), _hits(group, rate)
    return hits - mine, count - my_count


def _distance(change: Change, confidence: float) -> Estimate:
    """A column's distance with its interval: the true distances under which what is seen is no surprise.

    Unknown without rows on a side.
    """
    from scipy.optimize import brentq

    if change.effective_count < 1:
        return Estimate(math.nan, confidence=confidence, warnings=("no rows to compare",))
    tail = (1 - confidence) / 2

    def bound(share: float) -> float:
        surplus = partial(_surplus, change, share)
        if surplus(0.0) >= 0:
            return 0.0
        return float(brentq(surplus, 0.0, 1.0)) if surplus(1.0) > 0 else 1.0

    return Estimate(change.distance, bound(tail), bound(1 - tail), confidence, round(change.effective_count))


def _surplus(change: Change, share: float, distance: float) -> float:
    return change.probability_within(distance) - share
