"""The audit library beside its peers: `python -m benchmarks.audit [--rows N] [--evidently-rows N]`.

Profiles: two windows of 1,000,000 rows x 20 columns (10 numbers, 5 codes, 5 texts), read in batches of
65,536, profiled and compared column by column; beside evidently's `DataDriftPreset` over the same columns.
evidently's time grows with rows: by default it is measured on 100,000 and its time for all of them is said as
what it is, that figure times ten. With `--evidently-rows 1000000` nothing is extrapolated (minutes). Then a
merge of 1,000 stored profiles, of 20 columns and of 3 columns with 89 subgroups each.

Subgroups: error rates with Wilson intervals by 10 groups, and by 10 x 2 crossed, and the AUC of each group,
beside fairlearn's `MetricFrame`, which gives no intervals; the largest difference of a value is printed. Then
the worst-off slice over five attributes.

Figures are medians of `--rounds`; peers take turns, evidently runs once.
"""

import argparse
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from audit.drift.columns import ColumnComparison, compare_columns
from audit.fairness.rates import crossed_rates, group_rates
from audit.fairness.scores import group_auc
from audit.fairness.slices import worst_slice
from audit.profiles.profile import Profile, merge_all
from audit.profiles.schema import ColumnKind, ColumnSchema, ProfileSchema

BATCH_ROWS = 65_536
NUMERIC = [f"number_{i}" for i in range(10)]
CATEGORICAL = [f"code_{i}" for i in range(5)] + [f"text_{i}" for i in range(5)]
MOVED = 9
PEOPLE = (("sex", "ab"), ("race", "abcdefghi"), ("age", "abcde"))
PEOPLE_SCHEMA = ProfileSchema(
    tuple(ColumnSchema(f"number_{i}", ColumnKind.NUMERIC, (-1.0, 0.0, 1.0)) for i in range(3)),
    sensitive=tuple(name for name, _ in PEOPLE),
)
RATES = ("selection_rate", "accuracy", "false_positive_rate", "false_negative_rate", "true_positive_rate")


def window(rows: int, shift: float, rng: np.random.Generator) -> pa.Table:
    """20 columns; every other number, code and text moves with `shift`: `MOVED` of them."""
    texts = pa.array([f"value {i}" for i in range(12)])
    columns: dict[str, Any] = {name: rng.normal(shift * (i % 2), 1, rows) for i, name in enumerate(NUMERIC)}
    for i in range(5):
        columns[f"code_{i}"] = rng.binomial(20, 0.5 + shift * (i % 2) / 10, rows)
        columns[f"text_{i}"] = texts.take(pa.array(rng.binomial(11, 0.4 + shift * (i % 2) / 10, rows)))
    return pa.table(columns)


def profiled(table: pa.Table, schema: ProfileSchema) -> Profile:
    """One pass in batches."""
    profile = Profile.empty(schema)
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        profile.add_rows(batch)
    return profile


def drift(first: pa.Table, second: pa.Table, schema: ProfileSchema) -> list[ColumnComparison]:
    """Every column compared, both windows read anew."""
    return compare_columns(profiled(second, schema), profiled(first, schema))


def evidently(first: pa.Table, second: pa.Table) -> None:
    """evidently's drift report over the same columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(numerical_columns=NUMERIC, categorical_columns=CATEGORICAL)
        before, after = (
            Dataset.from_pandas(table.to_pandas(), data_definition=definition) for table in (first, second)
        )
        Report([DataDriftPreset()]).run(after, before).dict()


def fairlearn(groups: list[np.ndarray], positive: np.ndarray, label: np.ndarray) -> Any:
    """Rates by group, and by both attributes crossed where there are two."""
    from fairlearn import metrics
    from sklearn.metrics import accuracy_score

    functions = {
        "selection_rate": metrics.selection_rate,
        "accuracy": accuracy_score,
        "false_positive_rate": metrics.false_positive_rate,
        "false_negative_rate": metrics.false_negative_rate,
        "true_positive_rate": metrics.true_positive_rate,
    }
    features = {f"attribute_{i}": group for i, group in enumerate(groups)}
    frame = metrics.MetricFrame(metrics=functions, y_true=label, y_pred=positive, sensitive_features=features)
    return frame.by_group


def fairlearn_auc(groups: np.ndarray, score: np.ndarray, label: np.ndarray) -> Any:
    """AUC by group."""
    from fairlearn.metrics import MetricFrame
    from sklearn.metrics import roc_auc_score

    frame = MetricFrame(metrics=roc_auc_score, y_true=label, y_pred=score, sensitive_features=groups)
    return frame.by_group


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Median seconds, and what the last round gave."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        given = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), given


def main() -> None:
    """Runs all and prints each figure beside its peer's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--evidently-rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    profiles(given.rows, given.evidently_rows, given.rounds)
    subgroups(given.rows, given.rounds)


def profiles(rows: int, evidently_rows: int, rounds: int) -> None:
    """Drift of two windows, and the merge of 1,000 profiles."""
    rng = np.random.default_rng(1)
    first, second = window(rows, 0.0, rng), window(rows, 0.1, rng)
    schema = ProfileSchema.fit(first.slice(0, 100_000), numeric=NUMERIC, categorical=CATEGORICAL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, found = timed(lambda: drift(first, second, schema), rounds)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    moved = sum(one.p_value < 0.001 for one in found)
    print(
        f"drift of 2 x {rows:,} rows x 20 columns: boarfish {seconds:.2f} s, {grown:.0f} MB beyond the tables"
    )
    print(f"  {moved} of 20 columns moved ({MOVED} were made to)")
    evidently(first.slice(0, 2_000), second.slice(0, 2_000))
    small = min(rows, evidently_rows)
    peer, _ = timed(lambda: evidently(first.slice(0, small), second.slice(0, small)), 1)
    scaled = peer * rows / small
    told = "" if small == rows else f" (measured on {small:,}: {peer:.1f} s, times {rows / small:g})"
    print(f"  evidently {scaled:.0f} s{told}; {scaled / seconds:.0f} times as fast")
    parts = [profiled(first.slice((i * 1_000) % max(rows - 1_000, 1), 1_000), schema) for i in range(1_000)]
    seconds, _ = timed(lambda: merge_all(parts), rounds)
    print(f"merge of 1,000 profiles of 20 columns: boarfish {1e3 * seconds:.0f} ms")
    parts = [peopled(2_000, rng) for _ in range(1_000)]
    seconds, merged = timed(lambda: merge_all(parts), rounds)
    groups = len(merged.subgroups)
    print(f"merge of 1,000 profiles of {groups} subgroups each: boarfish {1e3 * seconds:.0f} ms")


def peopled(rows: int, rng: np.random.Generator) -> Profile:
    """A profile of scored and labelled people of 2 x 9 x 5 values of three attributes."""
    attributes = {name: np.array([*values])[rng.integers(0, len(values), rows)] for name, values in PEOPLE}
    table = pa.table({**attributes, **{f"number_{i}": rng.normal(size=rows) for i in range(3)}})
    score = rng.random(rows)
    profile = Profile.empty(PEOPLE_SCHEMA)
    profile.add_rows(table, score, score >= 0.5)
    profile.add_labels(score, score >= 0.5, rng.random(rows) < score, attributes)
    return profile


def subgroups(rows: int, rounds: int) -> None:
    """Error rates by 10 groups, alone and crossed with 2 more."""
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 10, rows), rng.integers(0, 2, rows)
    label = rng.random(rows) < 0.4
    positive = rng.random(rows) < np.where(label, 0.7, 0.3)

    def alone() -> dict[str, Any]:
        rates = group_rates(first, positive, label, 10)
        return {name: rates.rate(name) for name in RATES}

    def crossed() -> dict[tuple[str, ...], dict[str, Any]]:
        counted = crossed_rates({"first": (first, 10), "second": (second, 2)}, positive, label)
        return {names: {name: rates.rate(name) for name in RATES} for names, rates in counted.items()}

    alone()
    ours, found = timed(alone, rounds)
    peer, frame = timed(lambda: fairlearn([first], positive, label), 1)
    apart = max(np.abs(found[name][0] - frame[name].to_numpy(float)).max() for name in RATES)
    print(f"5 rates with intervals of {rows:,} rows x 10 groups: boarfish {1e3 * ours:.1f} ms")
    print(f"  fairlearn, no intervals, {peer:.2f} s; {peer / ours:.0f} times as fast; differ by {apart:.0e}")
    ours, every = timed(crossed, rounds)
    peer, frame = timed(lambda: fairlearn([first, second], positive, label), 1)
    values = every["first", "second"]
    apart = max(np.abs(values[name][0] - frame[name].to_numpy(float)).max() for name in RATES)
    print(f"the same for 10, 2 and 10 x 2 groups: boarfish {1e3 * ours:.1f} ms")
    print(f"  fairlearn, 10 x 2 alone, {peer:.2f} s; {peer / ours:.0f} times as fast; differ by {apart:.0e}")
    score = rng.normal(label)
    ours, auc = timed(lambda: group_auc(first, score, label, 10), rounds)
    peer, frame = timed(lambda: fairlearn_auc(first, score, label), 1)
    apart = np.abs(auc.value - frame.to_numpy(float)).max()
    print(f"AUC with intervals of {rows:,} rows x 10 groups: boarfish {1e3 * ours:.0f} ms")
    print(f"  fairlearn, no intervals, {peer:.2f} s; {peer / ours:.1f} times as fast; differ by {apart:.0e}")
    who = {"first": first, "second": second.astype(str)} | {f"n{i}": rng.normal(size=rows) for i in range(3)}
    wrong = positive != label
    ours, _ = timed(lambda: worst_slice(who, wrong, rng=rng), 1)
    print(f"worst-off slice of {rows:,} rows over 5 attributes: boarfish {ours:.1f} s")


if __name__ == "__main__":
    main()
