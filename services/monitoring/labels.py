"""Which predictions a set of labels says something new about: the join of the lake's labels with its
predictions.

Predictions and labels arrive in any order, so the join is symmetric: new labels meet the predictions that
are counted, new predictions meet the labels that are counted, and each pair meets once, at whichever of its
two came second. A label whose prediction is not there yet therefore needs no memory of its own. Where a
prediction has more than one label, the newest by event time holds, and of equally new ones the one that was
written last; a label that repeats the one before it changes nothing, one that contradicts it revises it.

Everything here works on whole columns; nothing loops over rows.
"""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from boarfish.v1 import task_pb2

from services.common.lake import LakeTable

if TYPE_CHECKING:
    import polars as pl

LABEL_COLUMNS = ["prediction_id", "value", "event_time", "_sequence"]
# Beyond this many ids a range is read whole: looking each row up would cost more than it saves.
ID_LIMIT = 200_000


def positives(values: pa.ChunkedArray, target: task_pb2.Target) -> pa.ChunkedArray:
    """Label texts as booleans, `(N,)`: true for the target's positive value, null for a text that is neither
    value.

    `true` and `false` count as the positive and the negative value, and a whole number may be written as
    `1.0`.
    """
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"^(-?\d+)\.0+$", r"\1")
    positive = pc.is_in(text, value_set=pa.array([target.positive_value, "true"]))
    negative = pc.is_in(text, value_set=pa.array([target.negative_value, "false"]))
    return pc.if_else(pc.or_(positive, negative), positive, pa.scalar(None, pa.bool_()))


def read_around(table: LakeTable, ids: pa.ChunkedArray, columns: list[str], *, up_to: int) -> pa.Table:
    """Rows of `table` whose prediction id is in `ids` and whose `_sequence` is at most `up_to`.

    Ids are time-ordered (UUIDv7), so that the smallest and largest one leave few files to read.
    """
    bounds = pc.min_max(ids).as_py()
    field = pc.field("prediction_id")
    where = (field >= bounds["min"]) & (field <= bounds["max"])
    if len(ids) <= ID_LIMIT:
        where &= field.isin(pc.unique(ids))
    return table.read(version=up_to, columns=columns, where=where)


def verdicts(labels: pa.Table, *, counted_to: int) -> "pl.DataFrame":
    """What holds for each prediction, before and after the labels with a `_sequence` above `counted_to`.

    Args:
        labels: every label of the predictions in question, columns of `LABEL_COLUMNS` with a boolean
            `positive` in
            place of `value`; a null `positive` is left out.
        counted_to: labels up to it had been counted before.

    Returns:
        One row a prediction: `prediction_id`, `before` (null where no label was counted), `after`.
    """
    import polars as pl

    frame = pl.from_arrow(labels.select(["prediction_id", "positive", "event_time", "_sequence"]))
    assert isinstance(frame, pl.DataFrame)
    return (
        frame.lazy()
        .filter(pl.col("positive").is_not_null())
        .sort("event_time", "_sequence")
        .group_by("prediction_id")
        .agg(
            pl.col("positive").filter(pl.col("_sequence") <= counted_to).last().alias("before"),
            pl.col("positive").last().alias("after"),
        )
        .collect()
    )


def changes(predictions: pa.Table, found: "pl.DataFrame") -> pa.Table:
    """The predictions whose label is new or another than before.

    Their columns, and `before` and `after`, booleans.
    """
    import polars as pl

    frame = pl.from_arrow(predictions)
    assert isinstance(frame, pl.DataFrame)
    changed = found.filter(pl.col("before").is_null() | (pl.col("before") != pl.col("after")))
    return frame.join(changed, on="prediction_id", how="inner").to_arrow()
