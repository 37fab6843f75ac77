"""Small tables and their profiles, for the tests of the audit library."""

from typing import Any

import numpy as np
import pyarrow as pa

from audit.profiles.profile import Profile
from audit.profiles.quality import QualityProfile
from audit.profiles.schema import ProfileSchema

SEXES, RACES = ["1", "2", None], ["White", "Black", "Asian"]


def table(count: int, seed: int) -> pa.Table:
    """`age` with missing values, `code`, `town` with missing values, `SEX` and `RACE`."""
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 90, count).astype(float)
    age[rng.random(count) < 0.1] = np.nan
    towns = [None if share < 0.1 else f"town {int(9 * share)}" for share in rng.random(count)]
    return pa.table(
        {
            "age": pa.array(age),
            "code": pa.array(rng.integers(-2, 5, count)),
            "town": pa.array(towns, pa.utf8()),
            "SEX": pa.array([SEXES[i] for i in rng.integers(0, 3, count)], pa.utf8()),
            "RACE": pa.array([RACES[i] for i in rng.integers(0, 3, count)], pa.utf8()),
        }
    )


SCHEMA = ProfileSchema.fit(
    table(500, 0),
    numeric=["age"],
    categorical=["code", "town"],
    sensitive=["SEX", "RACE"],
    score_bin_count=10,
)


def scored(count: int, seed: int) -> tuple[pa.Table, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, scores in 64ths (so that sums are exact), decisions, labels."""
    rng = np.random.default_rng(seed + 1000)
    score = rng.integers(0, 65, count) / 64
    return table(count, seed), score, score >= 0.5, rng.random(count) < score


def profile(count: int, seed: int, *, labelled: bool = True) -> Profile:
    """A dated profile of `count` rows with scores and, where `labelled`, outcomes."""
    rows, score, positive, label = scored(count, seed)
    made = Profile.empty(SCHEMA)
    made.add_rows(rows, score, positive)
    if labelled:
        made.add_labels(score, positive, label, groups(rows))
    if count:
        made.note(seed * 10, seed * 10 + count, [f"incident {seed}"] if seed % 2 else [])
    return made


def groups(rows: pa.Table) -> dict[str, Any]:
    """The sensitive attributes of `rows`."""
    return {name: rows.column(name) for name in ("SEX", "RACE")}


def counts(made: Profile) -> dict[str, Any]:
    """Everything of a profile that is exact, as plain values."""
    columns = []
    for column in made.columns:
        held = {
            name: value for name, value in vars(column).items() if name not in ("sketch", "_bins", "edges")
        }
        columns.append({name: _plain(value) for name, value in held.items()})
    return {
        "row_count": made.row_count,
        "columns": columns,
        "quality": made.quality and _vectors(made.quality),
        "subgroups": {group: _vectors(quality) for group, quality in made.subgroups.items()},
        "span": (made.start_us, made.end_us),
        "simulations": made.simulations,
    }


def _vectors(quality: QualityProfile) -> tuple[list[int], list[float]]:
    return quality.counts.tolist(), quality.sums.tolist()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
