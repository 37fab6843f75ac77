"""A small lake for monitoring's tests: a made-up loan task, people by seed, tables as ingestion lays them
out.

`Lake` is written by deltalake directly, so that these tests stand on the layout alone and not on the
ingestion service.
"""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from boarfish.v1 import task_pb2
from deltalake import write_deltalake

from services.common import profiling

FIRST_DAY = dt.date(2020, 3, 2)
CHAMPION, SHADOW = "a" * 64, "b" * 64
DEPLOYMENT = "loans"
UTC = pa.timestamp("us", "UTC")


def task() -> task_pb2.Task:
    """A loan is granted or not, from three features; the audit looks at SEX."""
    text = "for a test"
    return task_pb2.Task(
        name="loans",
        display_name="Loans",
        kind=task_pb2.TASK_KIND_BINARY_CLASSIFICATION,
        purpose=task_pb2.Purpose(
            action=text, positive_decision_means="The loan is granted.", outcome_measure=text
        ),
        features=[
            task_pb2.Feature(name="INCOME", type=task_pb2.FEATURE_TYPE_NUMERIC, allow_missing=True),
            task_pb2.Feature(
                name="HOME",
                type=task_pb2.FEATURE_TYPE_CODE,
                values={"1": "owned", "2": "rented", "3": "shared"},
            ),
            task_pb2.Feature(name="REGION", type=task_pb2.FEATURE_TYPE_CATEGORY),
        ],
        target=task_pb2.Target(name="repaid", positive_value="1", negative_value="0"),
        sensitive=[
            task_pb2.SensitiveAttribute(
                name="SEX", type=task_pb2.FEATURE_TYPE_CODE, values={"1": "male", "2": "female"}
            )
        ],
        split=task_pb2.Split(method=task_pb2.SPLIT_METHOD_RANDOM, validation_share=0.2, seed=1),
        decision=task_pb2.Decision(threshold=0.5, positive_label="grant", negative_label="refuse"),
        training=task_pb2.TrainingPlan(
            models=[
                task_pb2.ModelPlan(
                    gradient_boosting=task_pb2.GradientBoostingPlan(
                        iterations=1, learning_rate=0.1, leaf_count=3
                    )
                )
            ],
            metric=task_pb2.SELECTION_METRIC_AUC,
        ),
        watch=task_pb2.Watch(
            window_days=7,
            label_delay_days=14,
            minimum_group_size=30,
            drift_distance=0.1,
            quality_fall=0.05,
            false_alarm_rate=0.05,
        ),
        datasheet=task_pb2.Datasheet(
            motivation=text, composition=text, collection=text, known_limits=text, source=text, licence=text
        ),
    )


@dataclass
class People:
    """Rows of one draw: features, sensitive attributes, score, decision and the true outcome."""

    columns: dict[str, np.ndarray]
    score: np.ndarray
    label: np.ndarray

    @property
    def positive(self) -> np.ndarray:
        return self.score >= 0.5

    def table(self) -> pa.Table:
        """Features and sensitive attributes."""
        return pa.table(
            {
                "INCOME": pa.array(self.columns["INCOME"], pa.float64()),
                "HOME": pa.array(self.columns["HOME"], pa.int64()),
                "REGION": pa.array(self.columns["REGION"], pa.utf8()),
                "SEX": pa.array(self.columns["SEX"], pa.int64()),
            }
        )


def people(
    rng: np.random.Generator,
    count: int,
    *,
    home: tuple[float, float, float] = (0.5, 0.4, 0.1),
    unfair: bool = False,
) -> People:
    """People whose score is calibrated; `unfair` gives women who would repay lower scores."""
    columns = {
        "INCOME": rng.normal(30.0, 8.0, count),
        "HOME": rng.choice([1, 2, 3], count, p=home),
        "REGION": rng.choice(["north", "south", "east"], count),
        "SEX": rng.choice([1, 2], count),
    }
    strength = 0.35 * (columns["INCOME"] - 30.0) + rng.normal(0.0, 0.5, count)
    score = 1 / (1 + np.exp(-strength))
    label = rng.random(count) < score
    if unfair:
        score = np.where((columns["SEX"] == 2) & label, score * 0.6, score)
    return People(columns, score, label)


@dataclass
class MadeLake:
    """Writes tables under `root`, and remembers what should be counted."""

    root: Path
    deployment: str = DEPLOYMENT
    seed: int = 7
    made_task: task_pb2.Task = field(default_factory=task)
    next_sequence: dict[str, int] = field(default_factory=dict)
    ids: list[list[str]] = field(default_factory=list)
    truth: list[People] = field(default_factory=list)
    _serial: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add_reference(self, *versions: str, count: int = 4000) -> None:
        """Reference profiles of `versions`, all of the same held-out people."""
        found = people(np.random.default_rng(99), count)
        profile = profiling.reference_profile(self.made_task, found.table(), found.score, found.label)
        blob = profiling.to_proto(profile).SerializeToString()
        rows = pa.table(
            {
                "request_id": [f"reference-{version}" for version in versions],
                "subject": [""] * len(versions),
                "kind": ["REFERENCE"] * len(versions),
                "model_version": list(versions),
                "deployment": [""] * len(versions),
                "profile": pa.array([blob] * len(versions), pa.binary()),
                "task": pa.array([self.made_task.SerializeToString()] * len(versions), pa.binary()),
                "logged_time": pa.array([dt.datetime.now(dt.UTC)] * len(versions), UTC),
            }
        )
        self._append("profiles", "all", rows)

    def add_days(
        self,
        start: int,
        stop: int,
        *,
        count: int = 200,
        home: tuple[float, float, float] = (0.5, 0.4, 0.1),
        simulation: str = "",
        champion: str = CHAMPION,
        shadow: str = SHADOW,
        unfair: bool = False,
    ) -> None:
        """Predictions of the days `start` up to and without `stop` after the first day, `count` a day, in
        one commit.
        """
        parts = []
        for day in range(start, stop):
            found = people(self.rng, count, home=home, unfair=unfair)
            ids = [self._id() for _ in range(count)]
            self.ids.append(ids)
            self.truth.append(found)
            parts.append(
                self._rows(found, ids, day, version=champion, role="CHAMPION", simulation=simulation)
            )
            if shadow:
                parts.append(
                    self._rows(found, ids, day, version=shadow, role="SHADOW", simulation=simulation)
                )
        self._append("predictions", self.deployment, pa.concat_tables(parts))

    def add_labels(self, start: int, stop: int, *, delay: int = 14) -> None:
        """The true labels of the day blocks `start` up to and without `stop`, in the order in which they
        were added.
        """
        parts = []
        for index in range(start, stop):
            parts.append(
                self.labels_of(
                    self.ids[index], [str(int(label)) for label in self.truth[index].label], index + delay
                )
            )
        self.append_labels(pa.concat_tables(parts))

    def labels_of(self, ids: list[str], values: list[str], day: int) -> pa.Table:
        """Label rows."""
        moment = noon(day)
        count = len(ids)
        return pa.table(
            {
                "prediction_id": ids,
                "value": values,
                "source": ["OBSERVED"] * count,
                "event_time": pa.array([moment] * count, UTC),
                "logged_time": pa.array([moment] * count, UTC),
                "simulation": [""] * count,
            }
        )

    def append_labels(self, rows: pa.Table) -> None:
        """Writes label rows."""
        self._append("labels", self.deployment, rows)

    def _rows(
        self, found: People, ids: list[str], day: int, *, version: str, role: str, simulation: str
    ) -> pa.Table:
        count = len(ids)
        outcome = pa.table(
            {
                "prediction_id": ids,
                "model_version": [version] * count,
                "role": [role] * count,
                "event_time": pa.array([noon(day)] * count, UTC),
                "logged_time": pa.array([noon(day)] * count, UTC),
                "score": pa.array(found.score, pa.float64()),
                "decision": np.where(found.positive, "grant", "refuse").tolist(),
                "latency_us": pa.array([100] * count, pa.int64()),
                "simulation": [simulation] * count,
            }
        )
        for name, column in zip(found.table().column_names, found.table().columns, strict=True):
            outcome = outcome.append_column(name, column)
        return outcome

    def _id(self) -> str:
        """A time-ordered id, as UUIDv7 is."""
        self._serial += 1
        return f"{self._serial:012x}-7000-8000-000000000000"

    def _append(self, kind: str, name: str, rows: pa.Table) -> None:
        first = self.next_sequence.get(f"{kind}/{name}", 1)
        self.next_sequence[f"{kind}/{name}"] = first + rows.num_rows
        sequences = pa.array(range(first, first + rows.num_rows), pa.int64())
        write_deltalake(
            str(self.root / kind / name), rows.append_column("_sequence", sequences), mode="append"
        )


def noon(day: int) -> dt.datetime:
    """12:00 UTC, `day` days after the first."""
    return dt.datetime.combine(FIRST_DAY + dt.timedelta(days=day), dt.time(12), tzinfo=dt.UTC)
