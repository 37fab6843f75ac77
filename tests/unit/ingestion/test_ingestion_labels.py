"""What a label must look like."""

import math
from typing import Any

import pyarrow as pa
import pytest
from boarfish.errors import InvalidArgument
from boarfish.v1 import common_pb2, ingestion_pb2
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.ingestion.labels import label_rows

SCHEMA = pa.schema(
    {
        "prediction_id": pa.utf8(),
        "value": pa.utf8(),
        "source": pa.utf8(),
        "event_time": pa.timestamp("us", "UTC"),
        "logged_time": pa.timestamp("us", "UTC"),
        "simulation": pa.utf8(),
    }
)


def in_columns(ids: list[str], values: list[str], **fields: Any) -> ingestion_pb2.LogLabelsRequest:
    columns = ingestion_pb2.LabelColumns(
        prediction_ids=ids, values=values, source=common_pb2.LABEL_SOURCE_OBSERVED, **fields
    )
    return ingestion_pb2.LogLabelsRequest(request_id="r", deployment="d", columns=columns)


def in_rows(*values: Value, prediction_id: str = "a", **fields: Any) -> ingestion_pb2.LogLabelsRequest:
    labels = [
        ingestion_pb2.Label(
            prediction_id=prediction_id, value=value, source=common_pb2.LABEL_SOURCE_HUMAN, **fields
        )
        for value in values
    ]
    return ingestion_pb2.LogLabelsRequest(
        request_id="r", deployment="d", rows=ingestion_pb2.LabelRows(labels=labels)
    )


def test_both_forms_give_the_same_columns() -> None:
    moment = Timestamp(seconds=1_525_176_000, nanos=5_999)
    columns = label_rows(in_columns(["a", "é"], ["1", "x"], event_time=moment))
    rows = label_rows(in_rows(Value(number_value=1), Value(string_value="x"), event_time=moment))
    for table, source in ((columns, "OBSERVED"), (rows, "HUMAN")):
        assert table.schema == SCHEMA
        assert table["value"].to_pylist() == ["1", "x"]
        assert table["source"].to_pylist() == [source] * 2
        assert table["event_time"].cast(pa.int64()).to_pylist() == [1_525_176_000_000_005] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(number_value=1.0), "1"),
        (Value(number_value=-0.0), "0"),
        (Value(number_value=0.5), "0.5"),
        (Value(bool_value=True), "true"),
        (Value(bool_value=False), "false"),
        (Value(string_value="1"), "1"),
    ],
)
def test_values_have_one_text(value: Value, text: str) -> None:
    assert label_rows(in_rows(value))["value"].to_pylist() == [text]


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (in_columns(["a", ""], ["1", "1"]), "columns.prediction_ids[1]", "is empty"),
        (in_columns(["a", "x" * 129], ["1", "1"]), "columns.prediction_ids[1]", "has 129 characters"),
        (in_columns(["a", "b"], ["1", ""]), "columns.values[1]", "is empty"),
        (in_columns(["a"], ["1" * 201]), "columns.values[0]", "must have 1 to 200"),
        (in_columns(["a"], ["1"], event_time=Timestamp(seconds=2**62)), "columns.event_time", "1 to 9999"),
        (in_rows(Value(string_value="")), "rows.labels[0].value", "is empty"),
        (in_rows(Value(number_value=math.nan)), "rows.labels[0].value", "is nan; must be a finite"),
        (in_rows(Value(number_value=-math.inf)), "rows.labels[0].value", "is -inf; must be a finite"),
        (in_rows(Value(number_value=1e300)), "rows.labels[0].value", "has 301 characters"),
        (in_rows(Value(null_value=0)), "rows.labels[0].value", "must be a string"),  # type: ignore[arg-type]
        (in_rows(Value()), "rows.labels[0].value", "must be a string"),
        (in_rows(Value(bool_value=True), prediction_id=""), "rows.labels[0].prediction_id", "is empty"),
        (
            in_rows(Value(bool_value=True), event_time=Timestamp(nanos=-1)),
            "rows.labels[0].event_time",
            "1 to 9999",
        ),
    ],
)
def test_a_bad_label_is_named(request_: ingestion_pb2.LogLabelsRequest, field: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        label_rows(request_)
    assert caught.value.violations[0].field == field
