"""Canonical JSON as RFC 8785 has it, and chains that show where they were touched."""

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.ledger import FIRST_HASH, Entry, canonical_json, chain, verify

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def entries(count: int = 6) -> list[Entry]:
    made: list[Entry] = []
    for number in range(1, count + 1):
        made.append(
            chain(
                made[-1] if made else None,
                record_time=f"2026-01-0{number}T12:00:00Z",
                actor="training",
                action="model_version.registered",
                subject=f"model_versions/{number}",
                details={"accuracy": 0.8 + number / 100, "names": ["é", "ß"], "nothing": None},
                request_id=f"r{number}",
            )
        )
    return made


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_as_appendix_b_lists_them(bits: str, expected: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json(number) == expected


def test_keys_are_sorted_by_utf_16_as_section_3_2_3_shows() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = list(json.loads(canonical_json(dict.fromkeys(keys, 0))))
    assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_texts_are_escaped_as_section_3_2_2_shows() -> None:
    assert canonical_json('\u20ac$\u000f\u000aA\'B"\\\\"/') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@given(JSON)
def test_it_reads_back_as_it_was_and_writes_the_same_again(value: object) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert json.loads(text, parse_int=float) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {"a": object()}, "\ud800", b"bytes"])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        canonical_json(value)


def test_a_whole_chain_holds_also_an_empty_one_and_one_of_one() -> None:
    whole = entries()
    assert verify(whole) == type(verify([]))(True, 6, whole[-1].hash)
    assert (verify([]).valid, verify([]).head_hash) == (True, FIRST_HASH)
    assert verify(whole[:1]).valid


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize(
    "change",
    [
        {"actor": "someone else"},
        {"details": {"accuracy": 0.99}},
        {"details": {"accuracy": float("nan")}},
        {"record_time": "2026-01-01T12:00:01Z"},
        {"request_id": "other"},
        {"hash": "f" * 64},
    ],
)
def test_an_altered_entry_is_named(place: int, change: dict[str, object]) -> None:
    touched = entries()
    touched[place] = replace(touched[place], **change)
    found = verify(touched)
    assert (found.valid, found.first_bad_sequence) == (False, place + 1)
    assert "altered" in found.reason


def test_an_entry_altered_together_with_its_hash_breaks_the_next() -> None:
    touched, forged = entries(), entries(2)[1]
    forged = chain(
        touched[0], **{name: getattr(forged, name) for name in _WRITTEN} | {"actor": "someone else"}
    )
    touched[1] = forged
    assert verify(touched).first_bad_sequence == 3


@pytest.mark.parametrize("place", range(5))
def test_a_removed_entry_is_named(place: int) -> None:
    touched = entries()
    del touched[place]
    found = verify(touched)
    assert (found.valid, found.first_bad_sequence, found.count) == (False, place + 1, place)
    assert "missing" in found.reason


def test_entries_cut_out_of_the_middle_are_named() -> None:
    touched = entries()
    assert verify([*touched[:2], *touched[4:]]).first_bad_sequence == 3


def test_reordered_entries_are_named() -> None:
    touched = entries()
    touched[2], touched[3] = touched[3], touched[2]
    assert verify(touched).first_bad_sequence == 3


def test_removed_and_renumbered_entries_break_their_link() -> None:
    touched = entries()
    del touched[2]
    touched[2] = replace(touched[2], sequence=3)
    found = verify(touched)
    assert found.first_bad_sequence == 3
    assert "link" in found.reason


def test_a_cut_off_end_shows_against_a_head_that_was_kept() -> None:
    whole = entries()
    assert verify(whole[:4]).head_hash != whole[-1].hash


def test_it_streams() -> None:
    def endless() -> Iterator[Entry]:
        yield from entries(3)
        yield replace(entries(4)[3], actor="someone else")
        raise AssertionError("read on past the first bad entry")

    assert verify(endless()).first_bad_sequence == 4


def test_any_shuffle_is_found() -> None:
    shuffled = entries()
    random.Random(1).shuffle(shuffled)
    assert not verify(shuffled).valid


_WRITTEN = ("record_time", "actor", "action", "subject", "details", "request_id")
