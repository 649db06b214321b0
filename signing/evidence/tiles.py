"""Tiles: the tree's hashes in files or rows of 256, by which any proof can be made.

A tile at level L and index N holds the hashes of the perfect subtrees of 256**L leaves,
from subtree N * 256 on. A full tile never changes; the last one of a level grows.
Source: C2SP tlog-tiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import TileRefused, TreeBoundsRefused
from .tree import HASH_BYTES, SIZE_MAX, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .tree import Node

    ReadTile = Callable[[int, int], bytes]

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
_LEVEL_MAX: Final = 63  # tlog-tiles; a tree of SIZE_MAX leaves needs 7
_PATH_CHARS_MAX: Final = 64
_PATH: Final = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The whole content of one tile.

    Attributes:
        level: counted in tiles from the leaves, 0.
        index: counted within the level.
        hashes: 1 to 256 hashes of 32 bytes, one after the other.
    """

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        """How many hashes it holds."""
        return len(self.hashes) // HASH_BYTES


def tile_path(level: int, index: int, width: int | None = None) -> str:
    """Return where a tile is served, such as `tile/0/x001/234.p/7`.

    Args:
        level: 0 to 63.
        index: within the level.
        width: of a partial tile, 1 to 255; None or 256 for a full one.

    Raises:
        TileRefused: there is no such tile.
    """
    if not 0 <= level <= _LEVEL_MAX or not 0 <= index <= SIZE_MAX:
        raise TileRefused("a tile's level is 0 to 63, and its index is not negative")
    if width is not None and not 1 <= width <= TILE_WIDTH:
        raise TileRefused(f"a tile's width is 1 to {TILE_WIDTH}")
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    partial = "" if width in {None, TILE_WIDTH} else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"


def parse_tile_path(path: str) -> tuple[int, int, int | None]:
    """Return level, index and width of a path; the width of a full tile is None.

    Raises:
        TileRefused: not a path, or not spelled as `tile_path` spells it.
    """
    match = _PATH.fullmatch(path) if len(path) <= _PATH_CHARS_MAX else None
    if match is None:
        raise TileRefused("this is no path of a tile")
    level, index = int(match["level"]), int(match["index"].replace("x", "").replace("/", ""))
    width = None if match["width"] is None else int(match["width"])
    if width is not None and width >= TILE_WIDTH:
        raise TileRefused(f"a partial tile's width is 1 to {TILE_WIDTH - 1}")
    if tile_path(level, index, width) != path:
        raise TileRefused("a tile has one path only")
    return level, index, width


def append_leaves(size: int, hashes: Sequence[bytes], read_tile: ReadTile) -> list[Tile]:
    """Return every tile that changes when leaves are appended, each with its whole new content.

    Args:
        size: the tree's number of leaves before.
        hashes: of the new leaves, from `leaf_hash`, in order.
        read_tile: returns the hashes of the tile (level, index) so far, one after the other. It may hold
            more than the tree of `size` has, from an append that was never committed; these are dropped.

    Raises:
        TileRefused: a stored tile lacks a hash, or a new one has not 32 bytes.
        TreeBoundsRefused: the tree would be too large.
    """
    if not 0 <= size <= size + len(hashes) <= SIZE_MAX:
        raise TreeBoundsRefused(f"a tree has 0 to {SIZE_MAX} leaves")
    if any(len(leaf) != HASH_BYTES for leaf in hashes):
        raise TileRefused(f"a hash has {HASH_BYTES} bytes")
    tiles = []
    level, count, added = 0, size, list(hashes)
    while added:
        index, kept = divmod(count, TILE_WIDTH)
        content = _read(read_tile, level, index, kept)[: kept * HASH_BYTES] if kept else b""
        content += b"".join(added)
        complete = []
        for start in range(0, len(content), TILE_WIDTH * HASH_BYTES):
            part = content[start : start + TILE_WIDTH * HASH_BYTES]
            tiles.append(Tile(level, index, part))
            index += 1
            if len(part) == TILE_WIDTH * HASH_BYTES:
                complete.append(_fold(part))
        # Only full tiles are hashed into the level above.
        level, count, added = level + 1, count >> TILE_HEIGHT, complete
    return tiles


def node_from_tiles(read_tile: ReadTile) -> Node:
    """Return a `node` for the functions of `tree`, which reads each tile once.

    Args:
        read_tile: as in `append_leaves`; b"" if there is no such tile.

    Returns:
        A function that raises `TileRefused` for a subtree that the tiles do not hold.
    """
    read: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        if level < 0 or index < 0:
            raise TreeBoundsRefused("levels and indexes are not negative")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        needed = first + (1 << height)
        place = tile_level, tile_index
        if len(read.get(place, b"")) < needed * HASH_BYTES:
            read[place] = _read(read_tile, tile_level, tile_index, needed)
        return _fold(read[place][first * HASH_BYTES : needed * HASH_BYTES])

    return node


def _read(read_tile: ReadTile, level: int, index: int, width: int) -> bytes:
    content = read_tile(level, index)
    if len(content) % HASH_BYTES or len(content) > TILE_WIDTH * HASH_BYTES:
        raise TileRefused(f"the tile {tile_path(level, index)} is not 0 to {TILE_WIDTH} hashes")
    if len(content) < width * HASH_BYTES:
        raise TileRefused(f"the tile {tile_path(level, index)} lacks hashes: it has not {width}")
    return content


def _fold(hashes: bytes) -> bytes:
    """Return the root over a power of two of hashes."""
    parts = [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
    while len(parts) > 1:
        parts = [node_hash(parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
    return parts[0]
