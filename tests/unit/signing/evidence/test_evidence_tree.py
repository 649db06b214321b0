"""The tree against RFC 6962's own recursive definition, and against published vectors."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing.evidence import (
    EMPTY_ROOT,
    append_leaves,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_from_tiles,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from signing.evidence.errors import ConsistencyInvalid, InclusionInvalid, TileRefused, TreeBoundsRefused
from signing.evidence.tree import SIZE_MAX

ENTRIES = [b"entry %d" % number for number in range(1100)]
# From the tests of transparency-dev/merkle and of the first Certificate Transparency logs.
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
    )
]  # fmt: skip
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B = (
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
)
C = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
CT_INCLUSION = [
    (0, 8, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", A,
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"]),
    (5, 8, [B, C, CT_ROOTS[3]]),
    (2, 3, [CT_ROOTS[1]]),
    (1, 5, [CT_ROOTS[0], A, B]),
]  # fmt: skip
CT_CONSISTENCY = [
    (1, 8, CT_INCLUSION[0][2]),
    (6, 8, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", C, CT_ROOTS[3]]),
    (2, 5, [A, B]),
    (6, 7, ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f", CT_ROOTS[3]]),
]  # fmt: skip


class Log:
    """A log in memory, appended to in pieces of these sizes."""

    def __init__(self, entries: list[bytes], pieces: list[int] | None = None) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.entries, self.size, rest = entries, 0, pieces or [len(entries)]
        while self.size < len(entries):
            count = rest.pop(0) if rest else len(entries)
            self.append(entries[self.size : self.size + count])
        self.node = node_from_tiles(self.read)

    def append(self, entries: list[bytes]) -> None:
        for tile in append_leaves(self.size, list(map(leaf_hash, entries)), self.read):
            self.tiles[tile.level, tile.index] = tile.hashes
        self.size += len(entries)

    def read(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")


def naive(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return node_hash(naive(entries[:k]), naive(entries[k:]))


LOG = Log(ENTRIES, [1, 2, 253, 1, 255, 300])
SIZES = [*range(301), 511, 512, 513, 767, 768, 1023, 1024, 1025, 1100]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert bytes.fromhex(CT_ROOTS[size - 1]) == root(size, Log(CT_ENTRIES).node)


@pytest.mark.parametrize(("index", "size", "path"), CT_INCLUSION)
def test_inclusion_is_that_of_the_published_vectors(index: int, size: int, path: list[str]) -> None:
    made = inclusion_path(index, size, Log(CT_ENTRIES).node)

    assert path == [part.hex() for part in made]
    verify_inclusion(leaf_hash(CT_ENTRIES[index]), index, size, made, bytes.fromhex(CT_ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "size", "path"), CT_CONSISTENCY)
def test_consistency_is_that_of_the_published_vectors(old: int, size: int, path: list[str]) -> None:
    made = consistency_path(old, size, Log(CT_ENTRIES).node)

    assert path == [part.hex() for part in made]
    roots = [bytes.fromhex(text) for text in CT_ROOTS]
    verify_consistency(old, roots[old - 1], size, roots[size - 1], made)


@pytest.mark.parametrize("start", range(0, len(SIZES), 25))
def test_roots_and_proofs_are_those_of_the_definition(start: int) -> None:
    for size in SIZES[start : start + 25]:
        expected = naive(ENTRIES[:size])
        assert expected == root(size, LOG.node)
        for index in {0, size - 1, size // 2, *range(0, size, 13)} if size else set():
            path = inclusion_path(index, size, LOG.node)
            verify_inclusion(leaf_hash(ENTRIES[index]), index, size, path, expected)
        for old in {0, size, size // 2, size - 1 if size else 0, *range(0, size, 17)}:
            path = consistency_path(old, size, LOG.node)
            verify_consistency(old, naive(ENTRIES[:old]), size, expected, path)


def test_a_log_is_the_same_however_it_was_appended() -> None:
    assert Log(ENTRIES).tiles == LOG.tiles
    assert Log(ENTRIES[:600], [1] * 600).tiles == Log(ENTRIES[:600], [256, 256]).tiles


def test_tiles_are_those_of_the_specification() -> None:
    log = Log([b""] * 0)
    log.append(ENTRIES[:256])

    # "a tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1"
    assert {(0, 0): 256 * 32, (1, 0): 32} == {place: len(content) for place, content in log.tiles.items()}
    assert naive(ENTRIES[:256]) == log.tiles[1, 0]


def test_an_append_that_was_never_committed_is_written_over() -> None:
    log = Log(ENTRIES[:300])
    log.append([b"never committed"] * 40)
    log.size = 300
    log.append(ENTRIES[300:700])

    assert naive(ENTRIES[:700]) == root(700, node_from_tiles(log.read))


def test_a_stored_tile_that_lacks_a_hash_is_refused() -> None:
    log = Log(ENTRIES[:300])
    log.tiles[0, 1] = log.tiles[0, 1][:-32]

    with pytest.raises(TileRefused):
        append_leaves(300, [bytes(32)], log.read)
    with pytest.raises(TileRefused):
        root(300, node_from_tiles(log.read))
    log.tiles[0, 1] += b"x"
    with pytest.raises(TileRefused):
        append_leaves(300, [bytes(32)], log.read)


@pytest.mark.parametrize(
    ("index", "size"), [(5, 8), (0, 1), (7, 8), (256, 700), (699, 700), (0, 300), (4, 5), (2, 3)]
)
def test_every_other_inclusion_is_refused(index: int, size: int) -> None:
    leaf, expected = leaf_hash(ENTRIES[index]), root(size, LOG.node)
    path = inclusion_path(index, size, LOG.node)
    wrong = [
        (leaf, index + 1, size, path, expected),
        (leaf, index - 1, size, path, expected),
        (leaf, index ^ 2, size, path, expected),
        (leaf, index, size * 2 + 1, path, expected),
        (leaf, index, size // 2, path, expected),
        (leaf, index, 0, path, expected),
        (leaf, index, SIZE_MAX + 1, path, expected),
        (bytes(32), index, size, path, expected),
        (b"short", index, size, path, expected),
        (leaf, index, size, path, EMPTY_ROOT),
        (leaf, index, size, path, b""),
        (leaf, index, size, [*path, b""], expected),
        (leaf, index, size, [*path, expected], expected),
        (leaf, index, size, [expected, *path], expected),
        *((leaf, index, size, path[:at] + path[at + 1 :], expected) for at in range(len(path))),
        *((leaf, index, size, [*path[:at], flipped(path[at]), *path[at + 1 :]], expected)
          for at in range(len(path))),
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(InclusionInvalid):
            verify_inclusion(*arguments)


@pytest.mark.parametrize(("old", "size"), [(1, 2), (6, 8), (2, 5), (256, 700), (699, 700), (3, 300), (4, 8)])
def test_every_other_consistency_is_refused(old: int, size: int) -> None:
    first, second = root(old, LOG.node), root(size, LOG.node)
    path = consistency_path(old, size, LOG.node)
    wrong = [
        (old - 1, first, size, second, path),
        (old + 1, first, size, second, path),
        (old ^ 2, first, size, second, path),
        (old, first, size * 2, second, path),
        (old, first, size // 2, second, path),
        (size + 1, first, size, second, path),
        (old, second, size, first, path),
        (old, b"", size, second, path),
        (old, first, size, EMPTY_ROOT, path),
        (old, first, size, second, []),
        (old, first, size, second, [*path, first]),
        (old, first, size, second, [second, *path]),
        (old, first, size, second, [*path, b""]),
        (0, EMPTY_ROOT, size, second, path),
        (0, first, size, second, []),
        (size, first, size, second, []),
        *((old, first, size, second, path[:at] + path[at + 1 :]) for at in range(len(path))),
        *((old, first, size, second, [*path[:at], flipped(path[at]), *path[at + 1 :]])
          for at in range(len(path))),
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(ConsistencyInvalid):
            verify_consistency(*arguments)


def test_what_is_always_consistent_needs_no_path() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 5, root(5, LOG.node), [])
    verify_consistency(5, root(5, LOG.node), 5, root(5, LOG.node), [])
    with pytest.raises(ConsistencyInvalid):
        verify_consistency(0, EMPTY_ROOT, 0, bytes(32), [])


def test_indexes_that_a_tree_does_not_have_are_refused() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5), (0, SIZE_MAX + 1)):
        with pytest.raises(TreeBoundsRefused):
            inclusion_path(index, size, LOG.node)
    for old, size in ((6, 5), (-1, 5), (0, -1)):
        with pytest.raises(TreeBoundsRefused):
            consistency_path(old, size, LOG.node)
    for size in (-1, SIZE_MAX + 1):
        with pytest.raises(TreeBoundsRefused):
            root(size, LOG.node)
    with pytest.raises(TreeBoundsRefused):
        append_leaves(SIZE_MAX, [bytes(32)], LOG.read)
    with pytest.raises(TileRefused):
        append_leaves(0, [b"short"], LOG.read)
    with pytest.raises(TreeBoundsRefused):
        LOG.node(-1, 0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_trees_continue_each_other(steps: list[int]) -> None:
    sizes = sorted({min(sum(steps[:at]), len(ENTRIES)) for at in range(1, len(steps) + 1)})
    for old, size in pairwise([0, *sizes]):
        path = consistency_path(old, size, LOG.node)
        verify_consistency(old, root(old, LOG.node), size, root(size, LOG.node), path)


def flipped(octets: bytes) -> bytes:
    return bytes([octets[0] ^ 8]) + octets[1:]
