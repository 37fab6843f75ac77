"""The tree's algebra: every proof that is made holds, and none that is touched does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.ledger.checkpoint import Checkpoint, read_checkpoint, signed_note, verifier_key
from audit.ledger.merkle import (
    EMPTY_ROOT,
    consistency_path,
    continues,
    includes,
    inclusion_path,
    leaf_hash,
    node_hash,
    root,
)

LEAVES = [leaf_hash(str(number).encode()) for number in range(70)]
SIZES = st.integers(1, 70)


def recursive_root(leaves: list[bytes]) -> bytes:
    """As RFC 6962 defines it: the left part is the largest power of two below."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node_hash(recursive_root(leaves[:middle]), recursive_root(leaves[middle:]))


@given(SIZES)
def test_the_root_is_that_of_the_definition(size: int) -> None:
    assert root(LEAVES[:size]) == recursive_root(LEAVES[:size])


def test_of_none_of_one_and_of_five() -> None:
    assert root([]) == EMPTY_ROOT
    assert (root(LEAVES[:1]), inclusion_path(LEAVES[:1], 0)) == (LEAVES[0], ())
    assert len(inclusion_path(LEAVES[:5], 4)) == 1
    assert not includes(LEAVES[0], 0, 0, (), EMPTY_ROOT)
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(IndexError):
            inclusion_path(LEAVES[:size], index)
    with pytest.raises(IndexError):
        consistency_path(LEAVES[:3], 4)


@given(SIZES, st.data())
def test_an_inclusion_proof_holds_for_its_leaf_place_and_tree_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, whole = inclusion_path(LEAVES[:size], index), root(LEAVES[:size])
    assert includes(LEAVES[index], index, size, path, whole)
    assert not includes(leaf_hash(b"other"), index, size, path, whole)
    assert not includes(LEAVES[index], index, size, path, leaf_hash(b"other"))
    assert not includes(LEAVES[index], index, size, (*path, LEAVES[0]), whole)
    assert not any(
        includes(LEAVES[index], place, size, path, whole) for place in range(size + 2) if place != index
    )
    if path:
        assert not includes(LEAVES[index], index, size, path[:-1], whole)


@given(SIZES, st.data())
def test_a_consistency_proof_holds_for_its_two_trees_alone(size: int, data: st.DataObject) -> None:
    earlier = data.draw(st.integers(0, size))
    before, after = root(LEAVES[:earlier]), root(LEAVES[:size])
    path = consistency_path(LEAVES[:size], earlier)
    assert continues(earlier, before, size, after, path)
    assert not continues(earlier, leaf_hash(b"other"), size, after, path)
    assert not continues(earlier, before, size, after, (*path, LEAVES[0]))
    assert not continues(size + 1, before, size, after, path)
    if earlier:
        assert not continues(earlier, before, size, leaf_hash(b"other"), path)
    if path:
        assert not continues(earlier, before, size, after, path[:-1])


def test_a_tree_that_was_rewritten_is_no_continuation() -> None:
    rewritten = [*LEAVES[:2], leaf_hash(b"other"), *LEAVES[3:20]]
    path = consistency_path(rewritten, 11)
    assert not continues(11, root(LEAVES[:11]), 20, root(rewritten), path)


@given(st.integers(0, 2**40), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_signed(size: int, of_root: bytes) -> None:
    made = Checkpoint("a-ledger", size, of_root)
    note = signed_note(made.text(), "a-ledger", bytes(32), lambda text: bytes(64))
    assert read_checkpoint(note) == read_checkpoint(made.text()) == made


@pytest.mark.parametrize(
    "text", ["", "a", "a\n1\n", "a\nx\nAAAA\n", "a\n1\nAAAA\n", "a\n-1\n" + "A" * 43 + "=\n"]
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        read_checkpoint(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b"])
def test_a_name_that_would_break_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a key"):
        verifier_key(name, bytes(32))
