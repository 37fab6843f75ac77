"""Files, texts, labels, times and series: one verdict for values and for Arrow arrays, in words."""

import base64
import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from boarfish.errors import InvalidArgument
from boarfish.v1 import common_pb2, task_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import rich_columns, rows
from services.common.columns import Column
from services.common.rich_columns import (
    AUDIO,
    BYTES,
    IMAGE,
    PICTURES,
    PNG,
    SERIES,
    TEXT,
    TIME,
    FileColumn,
    LabelsColumn,
    SeriesColumn,
    TextColumn,
    rich_column,
)
from services.common.rows import RowSchema

PNG_FILE = b"\x89PNG\r\n\x1a\n and more"
WEBP_FILE, WAV_FILE = b"RIFF\x04\0\0\0WEBP", b"RIFF\x04\0\0\0WAVEfmt "
STARTS = [PNG_FILE, b"\xff\xd8\xff\xe0", b"GIF89a", WEBP_FILE, WAV_FILE, b"BM", b"RIFF", b"", b"\x89PNG"]
LABELS = frozenset({"cat", "dog", "a b"})
SEMICOLONS = LabelsColumn("c", TEXT, True, False, allowed=LABELS)


def column(kind: int, *, allow_missing: bool = False) -> Column:
    found = rich_column("c", kind, required=True, allow_missing=allow_missing)
    assert found is not None
    return found


def cut(array: pa.Array, start: int) -> pa.Array:
    return array.slice(min(start, len(array)))


def of(one: st.SearchStrategy[Any], kinds: list[pa.DataType]) -> st.SearchStrategy[pa.Array]:
    """Arrays of a type of `kinds`, some beginning within their buffers."""
    values = st.lists(st.one_of(st.none(), one), max_size=8)
    return st.builds(cut, st.builds(pa.array, values, st.sampled_from(kinds)), st.integers(0, 3))


NUMBER = st.one_of(st.none(), st.floats(), st.floats(-9, 9))
LISTS = st.lists(NUMBER, max_size=4)
BINARY = of(st.sampled_from(STARTS), [pa.binary(), pa.large_binary(), pa.binary_view()])
TEXTS = [pa.utf8(), pa.large_utf8(), pa.string_view()]
LABELLED = st.lists(st.sampled_from([*LABELS, "fox", ""]), max_size=3).map("//".join)
SERIES_ARRAYS = st.one_of(
    of(LISTS, [pa.list_(pa.float64()), pa.large_list(pa.float64())]),
    of(st.lists(st.integers(-9, 9), max_size=4), [pa.list_(pa.int16())]),
    of(st.lists(NUMBER, min_size=2, max_size=2), [pa.list_(pa.float64(), 2)]),
)
ARRAYS: list[tuple[Column, st.SearchStrategy[pa.Array]]] = [
    (FileColumn("c", IMAGE, True, False, formats=PICTURES), BINARY),
    (FileColumn("c", IMAGE, True, True, formats=(PNG,)), BINARY),
    (FileColumn("c", BYTES, True, True), BINARY),
    (TextColumn("c", TEXT, True, False), of(st.text(max_size=3), TEXTS)),
    (LabelsColumn("c", TEXT, True, False, allowed=LABELS, separator="//"), of(LABELLED, TEXTS)),
    (SeriesColumn("c", SERIES, True, True), SERIES_ARRAYS),
    (SeriesColumn("c", SERIES, True, False), SERIES_ARRAYS),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ARRAYS).flatmap(lambda one: st.tuples(st.just(one[0]), one[1])))
def test_arrays_get_the_verdict_of_their_values(drawn: tuple[Column, pa.Array]) -> None:
    asked, array = drawn
    expected = [asked.check(value) for value in array.to_pylist()]
    kept, refused = asked.check_array(array)
    assert kept.type == asked.arrow_type
    assert refused.tolist() == [reason is not None for _, reason in expected]
    for found, bad, (value, _) in zip(kept.to_pylist(), refused, expected, strict=True):
        assert bad or found == value
    for sent, bad, (_, reason) in zip(array, refused, expected, strict=True):
        assert not bad or asked.reason(sent) == reason


@pytest.mark.parametrize(
    ("asked", "value", "words"),
    [
        (column(IMAGE), WAV_FILE, "must be a PNG, JPEG, GIF, WebP or BMP file"),
        (column(IMAGE), b"", "is empty"),
        (column(IMAGE), "***", "base64"),
        (column(IMAGE), 7.0, "must be bytes"),
        (column(AUDIO), WEBP_FILE, "must be a WAV file"),
        (column(BYTES), None, "is missing"),
        (column(TEXT), 3.0, "must be a text"),
        (column(TIME), "yesterday", "ISO 8601"),
        (column(TIME), "0001-01-01T00:00:00+02:00", "ISO 8601"),
        (column(TIME), 5.0, "ISO 8601"),
        (column(SERIES), [], "1 to 1,000,000"),
        (column(SERIES), [1.0, float("inf")], "inf at place 1"),
        (column(SERIES), [1.0, "x"], "'x' at place 1"),
        (column(SERIES), [True], "True at place 0"),
        (column(SERIES), "1,2", "must be a list"),
        (SEMICOLONS, "cat;cow", "'cow'; each must be one of a b, cat"),
        (SEMICOLONS, 1.0, "joined by ';'"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_in_words(asked: Column, value: Any, words: str) -> None:
    kept, reason = asked.check(value)
    assert kept is None
    assert words in (reason or "")


def test_large_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich_columns, "MAX_FILE_BYTES", 30)
    monkeypatch.setattr(rich_columns, "MAX_TEXT_BYTES", 3)
    monkeypatch.setattr(rich_columns, "MAX_SERIES_LENGTH", 2)
    for kind, values in (
        (IMAGE, [PNG_FILE, PNG_FILE + bytes(30)]),
        (TEXT, ["abc", "éé"]),
        (SERIES, [[1.0, 2.0], [1.0, 2.0, 3.0]]),
    ):
        asked = column(kind)
        _, refused = asked.check_array(pa.array(values, asked.arrow_type))
        assert refused.tolist() == [False, True]
        assert asked.check(values[1])[1] is not None


def test_times_are_kept_in_microseconds_of_utc() -> None:
    noon = dt.datetime(2018, 3, 1, 12, tzinfo=dt.UTC)
    asked = column(TIME)
    for text in ("2018-03-01T12:00:00Z", "2018-03-01T14:00:00+02:00", "2018-03-01 12:00"):
        assert asked.check(text) == (noon, None)
    assert asked.check("2018-03-01") == (noon.replace(hour=0), None)
    for kind in (pa.timestamp("s"), pa.timestamp("ns", "Europe/Paris"), pa.timestamp("us", "UTC")):
        kept, refused = asked.check_array(pa.array([noon, None], kind))
        assert kept.to_pylist() == [noon, None]
        assert refused.tolist() == [False, True]
    far = pa.array([2**62, 0], pa.int64()).cast(pa.timestamp("us"))
    _, refused = asked.check_array(far)
    assert refused.tolist() == [True, False]
    assert asked.reason(far[0]) == "must be a time of the years 1 to 9999"


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (IMAGE, pa.array(["x"]), "must hold bytes"),
        (TEXT, pa.array([b"x"]), "must hold texts"),
        (TIME, pa.array(["2018-03-01"]), "must hold times"),
        (SERIES, pa.array([1.0]), "must hold lists of numbers"),
        (SERIES, pa.array([["a"]]), "must hold lists of numbers"),
        (SERIES, pa.array([[1.0]], pa.list_view(pa.float64())), "must hold lists of numbers"),
    ],
)
def test_a_column_of_a_wrong_type_is_named(kind: int, values: pa.Array, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        column(kind).check_array(values)


def task(kind: int, *features: int, **target: Any) -> task_pb2.Task:
    return task_pb2.Task(
        kind=task_pb2.TaskKind.ValueType(kind),
        features=[
            task_pb2.Feature(name=f"f{index}", type=task_pb2.FeatureType.ValueType(feature))
            for index, feature in enumerate(features)
        ],
        target=task_pb2.Target(name="target", **target) if target else None,
    )


MANY = (IMAGE, AUDIO, TEXT, TIME, SERIES, BYTES)


def test_rows_of_every_type_come_as_arrow_and_as_objects() -> None:
    schema = RowSchema.for_records(
        task(task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION, *MANY, classes=sorted(LABELS), separator="|")
    )
    moment = dt.datetime(2018, 3, 1, tzinfo=dt.UTC)
    good = [PNG_FILE, WAV_FILE, "a text", moment, [1.0, 2.5], b"\0", "cat|dog"]
    table = pa.table({name: [value] for name, value in zip(schema.names, good, strict=True)})
    from_arrow = schema.check_table(table)
    assert from_arrow.rejected == []
    assert list(from_arrow.rows.to_pylist()[0].values()) == good
    assert from_arrow.rows.schema.types == [one.arrow_type for one in schema.columns]
    batch = common_pb2.RowBatch()
    for label in ("cat|dog", "", "cow"):
        as_json = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in good[:-1]]
        as_json[3] = moment.isoformat()
        batch.rows.rows.add().update(dict(zip(schema.names, [*as_json, label], strict=True)))
    from_structs = schema.decode(batch)
    assert from_structs.rows.slice(0, 1).equals(from_arrow.rows)
    assert from_structs.accepted.tolist() == [0, 1]
    assert from_structs.rejected[0].reason.startswith("target has the label 'cow'")


@pytest.mark.parametrize(
    ("kind", "target", "good", "bad"),
    [
        (task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION, {"classes": ["1", "2", "3"]}, 3, 4),
        (task_pb2.TASK_KIND_BINARY_CLASSIFICATION, {"positive_value": "1", "negative_value": "0"}, 1, 2),
        (task_pb2.TASK_KIND_REGRESSION, {"minimum": 0.5, "maximum": 5.0}, 4.5, 0.0),
        (task_pb2.TASK_KIND_REGRESSION, {"logarithmic": True}, 0.0, -1.0),
        (task_pb2.TASK_KIND_SEGMENTATION, {"classes": ["sky"]}, PNG_FILE, b"GIF89a"),
        (task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION, {"classes": ["1", "2"]}, "1;2", "1;"),
    ],
)
def test_each_kind_of_task_has_targets_of_its_own(
    kind: int, target: dict[str, Any], good: Any, bad: Any
) -> None:
    schema = RowSchema.for_records(task(kind, TEXT, **target))
    checked = schema.check_table(pa.table({"f0": ["a", "b"], "target": [good, bad]}))
    assert checked.accepted.tolist() == [0]
    assert checked.rejected[0].column == "target"
    with pytest.raises(InvalidArgument, match="needs this column"):
        schema.check_table(pa.table({"f0": ["a"]}))


def test_several_numbers_are_several_columns_and_a_language_model_has_none() -> None:
    many = RowSchema.for_records(task(task_pb2.TASK_KIND_REGRESSION, IMAGE, more_columns=["y"], maximum=9.0))
    assert many.names == ("f0", "target", "y")
    checked = many.check_table(pa.table({"f0": [PNG_FILE] * 2, "target": [1, 2], "y": [1, 10]}))
    assert [row.column for row in checked.rejected] == ["y"]
    assert RowSchema.for_records(task(task_pb2.TASK_KIND_LANGUAGE_MODEL, TEXT)).names == ("f0",)


def test_what_the_split_goes_by_is_kept_and_is_no_models_business() -> None:
    held_out = task(task_pb2.TASK_KIND_REGRESSION, IMAGE, minimum=0.0)
    held_out.split.method, held_out.split.column = task_pb2.SPLIT_METHOD_COLUMN, "is_test"
    assert RowSchema.for_records(held_out).names == ("is_test", "f0", "target")
    predictions = RowSchema.for_predictions(held_out)
    assert predictions.names == ("f0",)
    checked = predictions.check_table(pa.table({"f0": [PNG_FILE], "is_test": [1]}))
    assert checked.rows.schema.names == ["f0"]
    held_out.split.column = "f0"
    assert RowSchema.for_records(held_out).names == ("f0", "target")


def test_a_row_that_could_not_be_sent_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 100)
    schema = RowSchema.for_records(task(task_pb2.TASK_KIND_LANGUAGE_MODEL, TEXT, TEXT))
    batch = common_pb2.RowBatch()
    for sizes in ((50, 50), (60, 60), (1, 1)):
        batch.rows.rows.add().update({f"f{index}": "x" * size for index, size in enumerate(sizes)})
    checked = schema.decode(batch)
    assert (checked.accepted.tolist(), checked.rejected_count) == ([0, 2], 1)
    assert (checked.rejected[0].row_index, checked.rejected[0].column) == (1, "")
    assert "has 120 bytes" in checked.rejected[0].reason
