"""What a label must look like before it enters the lake. Whether its prediction is there does not matter:
labels may come first.
"""

import datetime as dt
import math
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.v1 import common_pb2, ingestion_pb2
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.rows import canonical_text
from services.ingestion.events import LONGEST_ID, LONGEST_TEXT

_TIME = pa.timestamp("us", "UTC")
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


def label_rows(request: ingestion_pb2.LogLabelsRequest) -> pa.Table:
    """Labels as rows of the lake.

    Raises `InvalidArgument` for a value that is no string, finite number or boolean, and for a text that is
    empty or too long.
    """
    if request.WhichOneof("labels") == "columns":
        columns = request.columns
        count = len(columns.prediction_ids)
        ids = _texts(columns.prediction_ids, LONGEST_ID, "columns.prediction_ids[{}]")
        values = _texts(columns.values, LONGEST_TEXT, "columns.values[{}]")
        sources = pa.repeat(_source_name(columns.source), count)
        times = pa.repeat(_micros(columns, "columns"), count).cast(_TIME)
    else:
        labels = request.rows.labels
        count = len(labels)
        ids = _texts([label.prediction_id for label in labels], LONGEST_ID, "rows.labels[{}].prediction_id")
        found = [_label_text(label.value, index) for index, label in enumerate(labels)]
        values = _texts(found, LONGEST_TEXT, "rows.labels[{}].value")
        sources = pa.array([_source_name(label.source) for label in labels], pa.utf8())
        micros = [_micros(label, f"rows.labels[{index}]") for index, label in enumerate(labels)]
        times = pa.array(micros, _TIME)
    return pa.table(
        {
            "prediction_id": ids,
            "value": values,
            "source": sources,
            "event_time": times,
            "logged_time": pa.repeat(pa.scalar(dt.datetime.now(dt.UTC), _TIME), count),
            "simulation": pa.repeat(request.simulation, count),
        }
    )


def _source_name(source: common_pb2.LabelSource.ValueType) -> str:
    return common_pb2.LabelSource.Name(source).removeprefix("LABEL_SOURCE_")


def _label_text(value: Value, index: int) -> str:
    kind = value.WhichOneof("kind")
    if kind == "number_value" and not math.isfinite(value.number_value):
        problem = f"is {value.number_value}; must be a finite number"
    elif kind not in ("string_value", "number_value", "bool_value"):
        problem = "must be a string, a number or a boolean: the value of the target"
    else:
        return canonical_text(getattr(value, kind))
    raise InvalidArgument.of(FieldViolation(f"rows.labels[{index}].value", problem))


def _texts(given: Sequence[str], longest: int, path: str) -> pa.Array:
    """`given` as utf8 `(N,)`; the first that is empty or has more than `longest` characters is refused."""
    texts = pa.array(given, pa.utf8())
    lengths = pc.utf8_length(texts)
    bad = pc.index(pc.or_(pc.equal(lengths, 0), pc.greater(lengths, longest)), True).as_py()
    if bad >= 0:
        count = lengths[bad].as_py()
        problem = f"has {count} characters; must have 1 to {longest}" if count else "is empty"
        raise InvalidArgument.of(FieldViolation(path.format(bad), problem))
    return texts


def _micros(message: Any, path: str) -> int:
    """The event time of labels, or now, in microseconds since 1970."""
    if not message.HasField("event_time"):
        return time.time_ns() // 1000
    given: Timestamp = message.event_time
    if not (_FIRST_SECOND <= given.seconds <= _LAST_SECOND and 0 <= given.nanos < 1_000_000_000):
        raise InvalidArgument.of(
            FieldViolation(f"{path}.event_time", "must be a time of the years 1 to 9999")
        )
    return int(given.seconds) * 1_000_000 + given.nanos // 1000
