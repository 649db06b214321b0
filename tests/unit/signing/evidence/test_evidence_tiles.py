from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.evidence import parse_tile_path, tile_path
from signing.evidence.errors import TileRefused
from signing.evidence.tree import SIZE_MAX


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((0, 0, None), "tile/0/000"), ((0, 1234067, None), "tile/0/x001/x234/067"),
        ((63, 5, 1), "tile/63/005.p/1"), ((0, 1234, 7), "tile/0/x001/234.p/7"),
        ((1, 999, 255), "tile/1/999.p/255"), ((0, 1000, None), "tile/0/x001/000"),
    ],
)  # fmt: skip
def test_paths_are_those_of_the_specification(place: tuple[int, int, int | None], path: str) -> None:
    assert path == tile_path(*place)
    assert place == parse_tile_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "tile/0/0", "tile/00/000", "tile/64/000", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256",
        "tile/0/000.p/07", "tile/0/1234", "tile/0/001/234", "tile/0/x001", "tile/0/x001/234/", "/tile/0/000",
        "tile/-1/000", "tile/0/٠٠٠", "tile/0/000\n", "tile/0/" + "x999/" * 6 + "999",
        "tile/0/" + "x999/" * 20 + "999",
    ],
)  # fmt: skip
def test_another_spelling_is_no_path(path: str) -> None:
    with pytest.raises(TileRefused):
        parse_tile_path(path)


def test_tiles_that_cannot_be_have_no_path() -> None:
    for place in ((-1, 0), (64, 0), (0, -1), (0, 0, 0), (0, 0, 257)):
        with pytest.raises(TileRefused):
            tile_path(*place)

    assert "tile/0/000" == tile_path(0, 0, 256)


@given(st.integers(0, 63), st.integers(0, SIZE_MAX), st.none() | st.integers(1, 255))
def test_every_tile_has_its_path(level: int, index: int, width: int | None) -> None:
    assert (level, index, width) == parse_tile_path(tile_path(level, index, width))
