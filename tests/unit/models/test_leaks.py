"""Leaks that were put in are found and named; where there are none, nothing is said."""

import io
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from models.data.leaks import Leak, find_leaks
from models.recipe import MULTICLASS, Input, Problem, Target

PROBLEM = Problem(
    MULTICLASS,
    (Input("size", "numeric"), Input("kind", "category")),
    Target(("label",), classes=("a", "b")),
    "accuracy",
)
TRAIN, VALID = np.arange(80), np.arange(80, 100)


def table(count: int = 100) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "id": [f"x{place}" for place in range(count)],
            "size": random.normal(size=count),
            "kind": random.choice(["red", "blue"], count).tolist(),
            "label": random.choice(["a", "b"], count).tolist(),
            "owner": [f"owner {place // 4}" for place in range(count)],
            "seen": pa.array(np.arange(count) * 1_000_000, pa.timestamp("us", "UTC")),
        }
    )


def changed(rows: pa.Table, name: str, place: int, value: object) -> pa.Table:
    values = rows[name].to_pylist()
    values[place] = value
    return rows.set_column(
        rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type)
    )


def only(leaks: list[Leak]) -> Leak:
    assert len(leaks) == 1
    return leaks[0]


def test_a_clean_split_says_nothing() -> None:
    problem = replace(PROBLEM, id_column="id", group_column="owner", time_column="seen")
    assert find_leaks(table(), TRAIN, VALID, problem) == []


def test_empty_parts_say_nothing() -> None:
    none = np.empty(0, np.int64)
    assert find_leaks(table(), TRAIN, none, PROBLEM) == []
    assert find_leaks(table(), none, VALID, PROBLEM) == []


def test_a_group_on_both_sides_is_named_by_rows() -> None:
    rows = changed(table(), "owner", 95, "owner 2")
    leak = only(find_leaks(rows, TRAIN, VALID, replace(PROBLEM, group_column="owner", id_column="id")))
    assert leak.kind == "group"
    assert leak.valid_rows.tolist() == [95]
    assert leak.train_rows.tolist() == [8]
    assert "1 of 20 validation rows (5.0%) are of a group (owner)" in leak.sentence
    assert "id x95 and id x8" in leak.sentence


def test_an_id_on_both_sides_is_named_and_a_missing_one_is_none() -> None:
    rows = changed(changed(changed(table(), "id", 85, "x7"), "id", 3, None), "id", 90, None)
    leak = only(find_leaks(rows, TRAIN, VALID, replace(PROBLEM, id_column="id")))
    assert (leak.kind, leak.valid_rows.tolist(), leak.train_rows.tolist()) == ("id", [85], [7])


def test_the_same_row_twice_is_found_whatever_its_id() -> None:
    rows = table()
    for name in ("size", "kind", "label"):
        rows = changed(rows, name, 99, rows[name][10].as_py())
    rows = changed(changed(rows, "size", 98, None), "size", 12, None)
    leak = only(find_leaks(rows, TRAIN, VALID, PROBLEM))
    assert leak.kind == "row"
    assert 99 in leak.valid_rows
    assert leak.train_rows[leak.valid_rows.tolist().index(99)] == 10
    assert "row 99 and row 10" in leak.sentence


def test_a_row_with_another_label_is_another_row() -> None:
    rows = table()
    for name in ("size", "kind"):
        rows = changed(rows, name, 99, rows[name][10].as_py())
    other = "b" if rows["label"][10].as_py() == "a" else "a"
    assert find_leaks(changed(rows, "label", 99, other), TRAIN, VALID, PROBLEM) == []


def test_time_that_runs_backwards_is_found() -> None:
    problem = replace(PROBLEM, time_column="seen")
    leak = only(find_leaks(table(), np.arange(20, 100), np.arange(20), problem))
    assert leak.kind == "time"
    assert len(leak.valid_rows) == 20
    assert set(leak.train_rows.tolist()) == {99}
    assert "split by time" in leak.sentence


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.utf8()])
def test_times_of_any_kind_are_compared(kind: pa.DataType) -> None:
    rows = table()
    rows = rows.set_column(5, "seen", pa.array(np.arange(1000, 1100)).cast(kind))
    problem = replace(PROBLEM, time_column="seen")
    assert find_leaks(rows, TRAIN, VALID, problem) == []
    assert only(find_leaks(rows, VALID, TRAIN, problem)).kind == "time"


def picture(seed: int, size: int = 64) -> Image.Image:
    """A smooth random picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(1))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 80} if kind == "JPEG" else {}))
    return buffer.getvalue()


def test_a_picture_of_another_size_and_format_is_the_same_picture() -> None:
    contents = [encoded(picture(place)) for place in range(100)]
    contents[90] = encoded(picture(5).resize((48, 48)), "JPEG")
    contents[91] = encoded(picture(6).resize((60, 60)))
    contents[92] = b"no picture"
    rows = table().append_column("photo", pa.array(contents, pa.binary()))
    problem = replace(PROBLEM, inputs=(Input("photo", "image"),))
    leak = only(find_leaks(rows, TRAIN, VALID, problem))
    assert leak.kind == "picture"
    assert list(zip(leak.valid_rows, leak.train_rows, strict=True)) == [(90, 5), (91, 6)]


def test_a_million_rows_take_seconds() -> None:
    count = 1_000_000
    random = np.random.default_rng(0)
    rows = pa.table(
        {
            "id": np.arange(count),
            "size": random.normal(size=count),
            "kind": pa.array(random.integers(0, 1000, count)).cast(pa.utf8()),
            "label": pa.array(random.integers(0, 2, count)).cast(pa.utf8()),
        }
    )
    order = random.permutation(count)
    began = time.process_time()
    assert find_leaks(rows, order[200_000:], order[:200_000], replace(PROBLEM, id_column="id")) == []
    assert time.process_time() - began < 10
