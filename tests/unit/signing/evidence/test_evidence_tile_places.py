from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from signing.evidence.tile_places import tiles_to_read
from signing.evidence.tiles import append_leaves, node_from_tiles
from signing.evidence.tree import consistency_path, inclusion_path, leaf_hash, root

LEAVES = [leaf_hash(b"%d" % number) for number in range(70_000)]


def stored(size: int) -> dict[tuple[int, int], bytes]:
    tiles = append_leaves(0, LEAVES[:size], lambda *_: b"")
    return {(tile.level, tile.index): tile.hashes for tile in tiles}


WHOLE = stored(len(LEAVES))

# Around the places where a tile, and a tile of tiles, becomes full.
SIZES = st.one_of(
    st.integers(1, len(LEAVES)),
    st.sampled_from([1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 65_793]),
)


def only(places: set[tuple[int, int]]) -> Callable[[int, int], bytes]:
    """Tiles of the longer log, but no others than these."""
    return lambda level, index: WHOLE[level, index] if (level, index) in places else b""


@given(SIZES, st.data())
def test_an_inclusion_needs_no_other_tiles(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))

    path = inclusion_path(index, size, node_from_tiles(only(tiles_to_read((index,), size))))

    assert inclusion_path(index, size, node_from_tiles(only(set(WHOLE)))) == path


@given(SIZES, st.data())
def test_a_continuation_and_a_root_need_no_other_tiles(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    node = node_from_tiles(only(tiles_to_read((old - 1,), size)))

    assert consistency_path(old, size, node_from_tiles(only(set(WHOLE)))) == consistency_path(old, size, node)
    assert root(size, node_from_tiles(only(set(WHOLE)))) == root(size, node)


@given(SIZES, st.integers(1, 600))
def test_an_append_needs_no_other_tiles(size: int, count: int) -> None:
    size = min(size, len(LEAVES) - count)
    before = stored(size) if size else {}
    places = tiles_to_read((), size)

    appended = append_leaves(
        size,
        LEAVES[size : size + count],
        lambda level, index: before.get((level, index), b"") if (level, index) in places else b"",
    )

    after = stored(size + count)
    assert {(tile.level, tile.index): tile.hashes for tile in appended}.items() <= after.items()
    assert after == before | {(tile.level, tile.index): tile.hashes for tile in appended}


def test_a_proof_in_a_log_of_a_thousand_million_leaves_reads_eight_tiles_at_most() -> None:
    assert 8 >= len(tiles_to_read((123_456_789,), 10**9))
