"""From records that wait to leaves, tiles and a root (pure).

The leaf of a record is the SHA-256 of its entry, whose digests the database computed; any reader of the
record can build the same entry again. Source: RFC 9162 §2.1, C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signing.evidence.entry import HASHED, Entry, utc_text
from signing.evidence.tiles import Tile, append_leaves, node_from_tiles
from signing.evidence.tree import leaf_hash, root


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: its number of leaves, and the last record that has one."""

    size: int
    last_xid: int
    last_position: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one append writes.

    Attributes:
        size_before: The number of leaves that it was counted from.
        kinds: Of the records, in the order of their leaves; `subjects` and `leaf_hashes` likewise.
        last_xid: Of the last record; with `last_position` the place to go on from.
        tiles: Every tile that changes, each with its whole new content.
        size: The number of leaves after it.
        root: Of the tree after it.
    """

    size_before: int
    kinds: list[str]
    subjects: list[str]
    leaf_hashes: list[bytes]
    last_xid: int
    last_position: int
    tiles: list[Tile]
    size: int
    root: bytes


def plan_append(
    head: Head, rows: Sequence[Mapping[str, Any]], read_tile: Callable[[int, int], bytes]
) -> Batch:
    """Plan the append of records.

    Args:
        head: Where the log ends.
        rows: At least one record that waits, in order, as `evidence.pending` gives them.
        read_tile: The hashes so far of the tile (level, index), in a row; b"" if there is none.

    Raises:
        EvidenceRefused: A record or a tile is not of its form; nothing may be appended past it.
    """
    hashes = [leaf_hash(entry_of(row).serialise()) for row in rows]
    tiles = append_leaves(head.size, hashes, read_tile)
    changed = {(tile.level, tile.index): tile.hashes for tile in tiles}
    size = head.size + len(rows)

    def read_after(level: int, index: int) -> bytes:
        return changed[level, index] if (level, index) in changed else read_tile(level, index)

    return Batch(
        size_before=head.size,
        kinds=[row["kind"] for row in rows],
        subjects=[row["subject"] for row in rows],
        leaf_hashes=hashes,
        last_xid=rows[-1]["xid"],
        last_position=rows[-1]["position"],
        tiles=tiles,
        size=size,
        root=root(size, node_from_tiles(read_after)),
    )


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return the entry of a record of which the digests are known."""
    digests = (row[name] for name in HASHED)
    return Entry(
        kind=row["kind"],
        subject=row["subject"],
        merchant_id=row["merchant_id"],
        key_id=row["key_id"],
        decision=row["decision"],
        decided_at=utc_text(row["decided_at"]),
        digests=tuple(None if digest is None else digest.hex() for digest in digests),
    )
