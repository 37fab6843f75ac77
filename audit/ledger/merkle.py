"""A tree of hashes over the ledger's entries: one root stands for all of them.

A proof that an entry is among n, or that n entries continue an earlier m, has about log2(n) hashes and shows
no other entry. A leaf is hashed with a zero byte before it and an inner node with a one, so that neither can
pass for the other. Sources: RFC 6962, "Certificate Transparency", section 2.1 (the tree and its proofs);
RFC 9162, sections 2.1.3.2 and 2.1.4.2 (how proofs are checked).

Leaves are given by their hashes, 32 bytes each. Proofs of a tree of n cost n hashes to make (a million: about
a second) and log2(n) to check.
"""

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over `leaves`. Of none the hash of nothing, of one that leaf's hash."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Proof that the leaf at `index`, from 0, is in the tree: the hashes beside its way up, lowest first.

    Empty for the only leaf. Raises `IndexError` for a leaf that is not there.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    if len(leaves) == 1:
        return ()
    middle = _largest_power_below(len(leaves))
    if index < middle:
        return (*inclusion_path(leaves[:middle], index), root(leaves[middle:]))
    return (*inclusion_path(leaves[middle:], index - middle), root(leaves[:middle]))


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], of_root: bytes) -> bool:
    """Whether `path` proves that `leaf` stands at `index` of the tree of `size` leaves with that root."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(beside, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and found == of_root


def consistency_path(leaves: Sequence[bytes], earlier: int) -> tuple[bytes, ...]:
    """Proof that the tree of the first `earlier` leaves is the beginning of this one.

    Empty for as many leaves, and for none, which any tree continues. Raises `IndexError` for more than there
    are.
    """
    if not 0 <= earlier <= len(leaves):
        raise IndexError(f"{earlier} leaves of {len(leaves)}")
    return _consistency(leaves, earlier, known=True) if earlier else ()


def continues(earlier: int, earlier_root: bytes, size: int, of_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that a tree of `size` leaves continues the one of the first `earlier`."""
    if not 0 <= earlier <= size:
        return False
    if earlier == 0:
        return not path and earlier_root == EMPTY_ROOT
    if earlier == size:
        return not path and earlier_root == of_root
    steps = list(path) if earlier & (earlier - 1) else [earlier_root, *path]
    if not steps:
        return False
    place, last = earlier - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = steps[0]
    for beside in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(beside, before), node_hash(beside, after)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and before == earlier_root and after == of_root


def _consistency(leaves: Sequence[bytes], earlier: int, *, known: bool) -> tuple[bytes, ...]:
    """SUBPROOF of RFC 6962; `known`: whoever checks has the root of these leaves as the earlier root."""
    if earlier == len(leaves):
        return () if known else (root(leaves),)
    middle = _largest_power_below(len(leaves))
    if earlier <= middle:
        return (*_consistency(leaves[:middle], earlier, known=known), root(leaves[middle:]))
    return (*_consistency(leaves[middle:], earlier - middle, known=False), root(leaves[:middle]))


def _largest_power_below(count: int) -> int:
    """Of 2, for `count` > 1."""
    return 1 << (count - 1).bit_length() - 1
