"""The Merkle tree of RFC 6962 over SHA-256: roots, inclusion and consistency, made and verified.

Making needs `node(level, index)`, the hash of the perfect subtree over the leaves from
index * 2**level up to (index + 1) * 2**level, wherever it is kept. Nothing recurses, and
every index is checked. Source: RFC 6962 §2.1; RFC 9162 §2.1.3.2 and §2.1.4.2 for verifying.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from .errors import ConsistencyInvalid, InclusionInvalid, TreeBoundsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Node = Callable[[int, int], bytes]

HASH_BYTES: Final = 32
SIZE_MAX: Final = 2**63 - 1  # what tlog-cosignature and databases can count
PATH_HASHES_MAX: Final = 63  # a tree of SIZE_MAX leaves is 63 levels high
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf; 0x00 before it keeps leaves and nodes apart."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(size: int, node: Node) -> bytes:
    """Return the root of the tree of the first `size` leaves.

    Raises:
        TreeBoundsRefused: the size is negative or too large.
    """
    _require_size(size)
    return _hash_of_range(0, size, node) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root of the first `size` leaves, lowest first.

    Raises:
        TreeBoundsRefused: the tree has no such leaf.
    """
    _require_size(size)
    if not 0 <= index < size:
        raise TreeBoundsRefused(f"a tree of {size} leaves has no leaf {index}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_hash_of_range(middle, end, node))
            end = middle
        else:
            path.append(_hash_of_range(start, middle, node))
            start = middle
    return path[::-1]


def consistency_path(old_size: int, size: int, node: Node) -> list[bytes]:
    """Return the hashes that show that the first `size` leaves begin with the first `old_size`.

    The path is empty when the old tree is empty or the same.

    Raises:
        TreeBoundsRefused: the old tree is larger than the new one.
    """
    _require_size(size)
    if not 0 <= old_size <= size:
        raise TreeBoundsRefused(f"a tree of {size} leaves does not continue one of {old_size}")
    if old_size == 0:
        return []
    path = []
    start, end = 0, size
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_hash_of_range(middle, end, node))
            end = middle
        else:
            path.append(_hash_of_range(start, middle, node))
            start = middle
    if start:  # the verifier knows the old root, and this is only a part of the old tree
        path.append(_hash_of_range(start, end, node))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Verify that a leaf stands at this index in the tree of this size and root.

    Args:
        leaf: the leaf's hash, from `leaf_hash`.
        index: its place, counted from 0.
        size: the tree's number of leaves.
        path: from `inclusion_path`.
        root: the tree's root.

    Raises:
        InclusionInvalid: it does not, or an argument is not of its form.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise InclusionInvalid(f"a tree of {size} leaves has no leaf {index}")
    if any(len(part) != HASH_BYTES for part in (leaf, root, *path)):
        raise InclusionInvalid(f"a hash has {HASH_BYTES} bytes")
    place, last, current = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise InclusionInvalid("the path is longer than the tree is high")
        if place & 1 or place == last:
            current = node_hash(sibling, current)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise InclusionInvalid("the path is shorter than the tree is high")
    if current != root:
        raise InclusionInvalid("the path leads to another root")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Verify that the tree of this size and root continues the old one.

    Raises:
        ConsistencyInvalid: it does not, or an argument is not of its form.
    """
    if not 0 <= old_size <= size <= SIZE_MAX:
        raise ConsistencyInvalid(f"a tree of {size} leaves does not continue one of {old_size}")
    if any(len(part) != HASH_BYTES for part in (old_root, root, *path)):
        raise ConsistencyInvalid(f"a hash has {HASH_BYTES} bytes")
    if old_size in {0, size}:
        known = root if old_size else EMPTY_ROOT
        if path or old_root != known or (size == 0 and root != EMPTY_ROOT):
            raise ConsistencyInvalid("nothing is to be shown: no path, and the one root that there can be")
        return
    hashes = list(path)
    if old_size & (old_size - 1) == 0:  # the old tree is one perfect subtree, which the verifier knows
        hashes.insert(0, old_root)
    if not hashes:
        raise ConsistencyInvalid("the path is empty")
    _require_path(hashes, old_size, size, old_root, root)


def _require_path(hashes: list[bytes], old_size: int, size: int, old_root: bytes, root: bytes) -> None:
    place, last = old_size - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ConsistencyInvalid("the path is longer than the tree is high")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ConsistencyInvalid("the path is shorter than the tree is high")
    if (old, new) != (old_root, root):
        raise ConsistencyInvalid("the path leads to other roots")


def _require_size(size: int) -> None:
    if not 0 <= size <= SIZE_MAX:
        raise TreeBoundsRefused(f"a tree has 0 to {SIZE_MAX} leaves")


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is 2 or more."""
    return 1 << (count - 1).bit_length() - 1


def _hash_of_range(start: int, end: int, node: Node) -> bytes:
    """Return the hash over leaves `start` to `end`, where `start` begins a subtree that could hold them."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(node(level, start >> level))
        start += 1 << level
    result = parts.pop()
    while parts:
        result = node_hash(parts.pop(), result)
    return result
