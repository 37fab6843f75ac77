"""Who appeals against a deployment's decisions, and who is upheld, by group.

The arithmetic is that of `audit.recourse.appeals`. Decisions are counted from the merged profiles of every
model version that answered, appeals from their table, so that the cost does not grow with predictions.
"""

import json
import math
from collections import defaultdict
from statistics import median

import sqlalchemy as sa
from boarfish.v1 import common_pb2
from boarfish.v1 import monitoring_pb2 as pb

from audit.fairness.groups import display_name
from audit.profiles.subgroups import Group
from audit.recourse.appeals import AppealCounts, GroupAppeals, by_group, everyone
from services.common import profiling
from services.monitoring import appeals, comparison, profiles, tables
from services.monitoring.references import References
from services.monitoring.windows import find_deployment

DAY_S = 86_400.0


def statistics(
    connection: sa.Connection, references: References, deployment: str
) -> pb.GetAppealStatisticsResponse:
    """The statistics of a deployment. Raises `NotFound` for one that nobody has seen."""
    position = find_deployment(connection, deployment)
    reference = references.get(position.champion)
    assert reference is not None
    decisions, total = _decisions(connection, deployment)
    found = _appeals(connection, deployment)
    counted: defaultdict[Group, list[pb.Appeal]] = defaultdict(list)
    for appeal, attributes in found:
        for pair in attributes.items():
            counted[(pair,)].append(appeal)
    names = profiling.group_names(reference.task)
    groups = [
        [
            (group, _counts(count, counted[group]))
            for group, count in sorted(decisions.items(), key=lambda item: (-item[1], item[0]))
            if group[0][0] == attribute.name
        ]
        for attribute in reference.task.sensitive
    ]
    whole = _counts(total, [appeal for appeal, _ in found])
    told = by_group(
        whole,
        [[(display_name(group, names), counts) for group, counts in one] for one in groups],
        minimum_decisions=reference.task.watch.minimum_group_size,
    )
    keys = [group for one in groups for group, _ in one]
    seen = [appeals.seen(appeal) for appeal, _ in found]
    return pb.GetAppealStatisticsResponse(
        everyone=_message((), everyone(whole)),
        groups=[_message(group, one) for group, one in zip(keys, told, strict=True)],
        open_count=sum(appeal.state in appeals.OPEN for appeal in seen),
        overdue_count=sum(appeal.overdue for appeal in seen),
        median_answer_days=_median_days(seen),
    )


def _decisions(connection: sa.Connection, deployment: str) -> tuple[dict[Group, int], int]:
    """Answers by single attribute, and all of them."""
    groups: defaultdict[Group, int] = defaultdict(int)
    total = 0
    for series, there in profiles.all_series(connection, deployment).items():
        if series.role != common_pb2.PREDICTION_ROLE_CHAMPION:
            continue
        total += there.row_count
        profile = profiles.read_total(connection, series)
        assert profile is not None
        for group, counts in profile.subgroups.items():
            if len(group) == 1:
                groups[group] += counts.row_count
    return dict(groups), total


def _appeals(connection: sa.Connection, deployment: str) -> list[tuple[pb.Appeal, dict[str, str]]]:
    table = tables.appeal
    query = sa.select(table.c.appeal, table.c.groups).where(table.c.deployment == deployment)
    return [(pb.Appeal.FromString(row.appeal), json.loads(row.groups)) for row in connection.execute(query)]


def _counts(decisions: int, found: list[pb.Appeal]) -> AppealCounts:
    upheld = sum(appeal.state == pb.APPEAL_STATE_UPHELD for appeal in found)
    answered = sum(appeal.state not in appeals.OPEN for appeal in found)
    # An appeal may come before its prediction is counted.
    return AppealCounts(max(decisions, len(found)), len(found), answered, upheld)


def _median_days(found: list[pb.Appeal]) -> float:
    days = [
        (appeal.resolve_time.ToMicroseconds() - appeal.create_time.ToMicroseconds()) / 1e6 / DAY_S
        for appeal in found
        if appeal.state not in appeals.OPEN
    ]
    return median(days) if days else math.nan


def _message(group: Group, found: GroupAppeals) -> pb.AppealCounts:
    return pb.AppealCounts(
        group=dict(group),
        display_name=found.name,
        prediction_count=found.counts.decisions,
        appeal_count=found.counts.appeals,
        answered_count=found.counts.answered,
        upheld_count=found.counts.upheld,
        appeal_rate=comparison.estimate(found.appeal_rate),
        upheld_rate=comparison.estimate(found.upheld_rate),
        appeal_difference=comparison.estimate(found.appeal_difference),
        upheld_difference=comparison.estimate(found.upheld_difference),
        suppressed=found.suppressed,
        sentence=found.sentence,
    )
