"""What was done to an export is named, whatever it was; what nothing was done to holds."""

import builtins
import hashlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from boarfish import ledger_check
from boarfish.ledger_check import Checkpoint, check_continues, check_export, check_proof, checkpoint_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.ledger import Entry, chain, merkle
from audit.ledger.checkpoint import Checkpoint as Unsigned
from audit.ledger.checkpoint import signed_note, verifier_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def entries(count: int, *, actor: str = "Ada") -> list[Entry]:
    made: list[Entry] = []
    for number in range(1, count + 1):
        before = made[-1] if made else None
        made.append(
            chain(
                before,
                record_time=f"2026-01-01T12:00:00.{number:06}Z",
                actor=actor,
                action="appeal.filed",
                subject=f"appeals/{number}",
                details={"é": [number, 0.5, None]},
                request_id=str(number),
            )
        )
    return made


def leaves(made: list[Entry]) -> list[bytes]:
    return [merkle.leaf_hash(entry.content().encode()) for entry in made]


def signed(made: list[Entry], key: Ed25519PrivateKey = KEY) -> Checkpoint:
    public = key.public_key().public_bytes_raw()
    unsigned = Unsigned("a-ledger", len(made), merkle.root(leaves(made)))
    return checkpoint_of(
        signed_note(unsigned.text(), "a-ledger", public, key.sign), verifier_key("a-ledger", public)
    )


def lines(made: list[Entry]) -> list[str]:
    return [f"{entry.hash}  {entry.content()}\n" for entry in made]


def export(made: list[Entry], checkpoint: Checkpoint | None = None) -> list[str]:
    return [*lines(made), "\n", *(checkpoint or signed(made)).as_file().splitlines(keepends=True)]


def told(check: ledger_check.Check) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.sentence) for problem in check.problems]


@given(st.integers(0, 40))
def test_an_export_holds_at_any_length(count: int) -> None:
    made = entries(count)
    check = check_export(export(made), kept=signed(made[: count // 2]))
    assert told(check) == []
    assert (check.entry_count, check.key) == (count, signed(made).verifier_key)


@pytest.mark.parametrize("place", range(8))
def test_an_altered_entry_is_named(place: int) -> None:
    file = export(entries(8))
    file[place] = file[place].replace("Ada", "Bob")
    assert told(check_export(file)) == [
        (place + 1, f"entry {place + 1} was altered: it does not fit its hash")
    ]


@pytest.mark.parametrize("place", range(8))
def test_an_entry_that_was_altered_with_its_hash_is_named_by_the_next_or_the_checkpoint(place: int) -> None:
    file = export(entries(8))
    content = file[place].partition("  ")[2].replace("Ada", "Bob")
    file[place] = f"{hashlib.sha256(content.rstrip().encode()).hexdigest()}  {content}"
    [(number, sentence)] = told(check_export(file))
    if place < 7:
        assert number == place + 2
        assert sentence.startswith(f"entry {place + 2} does not follow the one before")
    else:
        assert (number, "written anew" in sentence) == (0, True)


@pytest.mark.parametrize("place", range(7))
def test_a_removed_entry_is_named(place: int) -> None:
    file = export(entries(8))
    del file[place]
    assert told(check_export(file)) == [(place + 1, f"entry {place + 1} was removed")]


def test_several_removed_entries_are_named_together() -> None:
    file = export(entries(12))
    del file[7:9], file[2:5]
    assert told(check_export(file)) == [
        (3, "entries 3 to 5 were removed"),
        (8, "entries 8 to 9 were removed"),
    ]


def test_moved_and_doubled_entries_are_named() -> None:
    file = export(entries(8))
    file[2], file[5] = file[5], file[2]
    assert told(check_export(file)) == [
        (4, "entry 4 was moved: it stands after entry 6"),
        (5, "entry 5 was moved: it stands after entry 6"),
        (3, "entry 3 was moved: it stands after entry 6"),
    ]
    file = export(entries(3))
    file.insert(1, file[0])
    assert (1, "entry 1 stands there twice") in told(check_export(file))


@pytest.mark.parametrize("left", [0, 1, 5, 7])
def test_a_cut_off_end_is_named_by_the_checkpoint(left: int) -> None:
    made = entries(8)
    cut = "entry 8 was" if left == 7 else f"entries {left + 1} to 8 were"
    assert told(check_export(export(made[:left], signed(made)))) == [
        (left + 1, f"{cut} cut off: the checkpoint at its end speaks of 8")
    ]


def test_a_cut_off_end_with_a_new_signature_is_named_by_the_checkpoint_that_was_kept() -> None:
    made = entries(8)
    assert told(check_export(export(made[:5]), kept=signed(made))) == [
        (6, "entries 6 to 8 were cut off: the checkpoint that was kept speaks of 8")
    ]


def test_a_ledger_that_was_written_anew_is_told_from_the_one_that_was_kept() -> None:
    check = check_export(export(entries(8, actor="Bob")), kept=signed(entries(6)))
    [(number, sentence)] = told(check)
    assert (number, "the checkpoint that was kept: they were written anew" in sentence) == (0, True)


def test_entries_past_the_checkpoint_are_named() -> None:
    made = entries(6)
    assert told(check_export(export(made, signed(made[:4])))) == [
        (5, "entries from 5 on are not covered by its checkpoint")
    ]


def test_without_a_checkpoint_it_is_not_shown_to_hold() -> None:
    for tail in ([], ["\n"], ["\n", "key\n", "nonsense"]):
        [(number, sentence)] = told(check_export([*lines(entries(3)), *tail]))
        assert (number, "has no checkpoint" in sentence) == (0, True)


def test_a_key_that_is_not_trusted_does_not_do() -> None:
    made = entries(4)
    forged = export(made, signed(made, OTHER_KEY))
    assert check_export(forged).holds
    trusted = signed(made).verifier_key
    assert check_export(export(made), trusted_key=trusted).holds
    [(_, sentence)] = told(check_export(forged, trusted_key=trusted))
    assert "was not signed by a-ledger+" in sentence
    assert "is no verifier key" in told(check_export(forged, trusted_key="x"))[0][1]


def test_a_note_whose_text_or_signature_was_touched_does_not_hold() -> None:
    whole = signed(entries(4))
    for note in (
        whole.note.replace("\n4\n", "\n5\n"),
        whole.note.replace("a-ledger", "b-ledger", 1),
        whole.note[:-4] + "AA==",
    ):
        touched = checkpoint_of(note, whole.verifier_key)
        assert ledger_check.signature_problem(touched) is not None
    assert ledger_check.signature_problem(whole) is None


def test_where_cryptography_is_lacking_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    check = check_export(export(entries(3), SIGNED_3))
    assert [sentence for _, sentence in told(check)] == [
        "its signature cannot be checked: the cryptography package is lacking (pip install cryptography)"
    ]


SIGNED_3 = signed(entries(3))


@pytest.mark.parametrize("line", ["", "abc", "{}", "0  []", '0  {"sequence": []}', "0  " + "[" * 50_000])
def test_what_is_no_entry_is_named_by_its_place(line: str) -> None:
    file = export(entries(3))
    file[1] = f"{line}\n" if line else " \n"
    assert any(number == 2 for number, _ in told(check_export(file)))


def test_a_number_far_off_costs_nothing() -> None:
    file = export(entries(3))
    file[2] = file[2].replace('"sequence":3', '"sequence":3000000000000')
    assert (3, "entries 3 to 2999999999999 were removed") in told(check_export(file))


@given(st.integers(1, 40), st.data())
def test_a_proof_shows_its_entry_and_no_other(count: int, data: st.DataObject) -> None:
    made = entries(count)
    number = data.draw(st.integers(1, count))
    path = [one.hex() for one in merkle.inclusion_path(leaves(made), number - 1)]
    text = made[number - 1].content()
    assert check_proof(text, path, signed(made)).holds
    altered = check_proof(text.replace("Ada", "Bob"), path, signed(made))
    assert told(altered) == [
        (number, f"entry {number} as it stands here is not in the ledger that was signed")
    ]
    assert not check_proof(text, [*path, "zz"], signed(made)).holds
    assert not check_proof("{}", path, signed(made)).holds


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_longer_ledger_is_shown_to_continue_a_shorter_one(first: int, second: int) -> None:
    before, after = sorted((first, second))
    made = entries(after)
    path = [one.hex() for one in merkle.consistency_path(leaves(made), before)]
    assert check_continues(signed(made[:before]), signed(made), path).holds
    if before:
        rewritten = signed(entries(before, actor="Bob"))
        assert "altered since" in told(check_continues(rewritten, signed(made), path))[0][1]


def test_a_shorter_ledger_is_no_continuation_nor_is_one_signed_by_another() -> None:
    made = entries(6)
    assert told(check_continues(signed(made), signed(made[:4]), ())) == [
        (5, "2 entries were cut off since: 4 are left of 6")
    ]
    path = [one.hex() for one in merkle.consistency_path(leaves(made), 4)]
    other = check_continues(signed(made[:4]), signed(made, OTHER_KEY), path)
    assert "was not signed by" in told(other)[0][1]
    assert not check_continues(signed(made[:4]), signed(made), ["zz"]).holds


def test_every_single_change_of_a_line_is_found() -> None:
    file = export(entries(4))
    for place, line in enumerate(file[:4]):
        for cut in range(0, len(line) - 1, 7):
            other = "x" if line[cut] != "x" else "y"
            touched = [*file[:place], line[:cut] + other + line[cut + 1 :], *file[place + 1 :]]
            assert not check_export(touched).holds
    assert all(one != two for one, two in pairwise(file[:4]))
