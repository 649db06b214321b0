"""Which tiles a proof or an append reads, known before any is read, so that one query can bring them.

At each level these are the tile above the leaf in question and the last one: a proof's hashes are siblings on
the way up, which share a tile with that way, and the perfect subtrees that the tree's size is the sum of,
which lie along its right edge. Pure. Source: RFC 9162 §2.1.3, C2SP tlog-tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tiles import TILE_HEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable


def tiles_to_read(leaves: Iterable[int], size: int) -> set[tuple[int, int]]:
    """Return (level, index) of every tile that may be read.

    Args:
        leaves: indexes whose inclusion is to be shown; for a consistency proof the last leaf of the old tree;
            none for a root or an append.
        size: the tree's number of leaves.
    """
    places = set()
    ways = {index for index in (*leaves, size - 1) if 0 <= index < size}
    level = 0
    # A level has hashes once it has one whole subtree.
    while size >> (TILE_HEIGHT * level):
        ways = {index >> TILE_HEIGHT for index in ways}
        places |= {(level, index) for index in ways}
        level += 1
    return places
