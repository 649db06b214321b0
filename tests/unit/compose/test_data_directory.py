"""A data directory whose path the kernel would not take a socket below is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from compose.launcher.errors import EXIT_PREREQUISITE, StartError
from compose.launcher.layout import SOCKET_PATH_BYTES_MAX, Layout, require_short
from compose.launcher.stack import Stack, StackOptions
from compose.mesh import read_mesh
from tests.unit.compose.deployment import MESH_FILE

ENVOYS = read_mesh(MESH_FILE).envoys()
BELOW = max(len(f"/state/{name}/admin.sock") for name in ENVOYS)


@pytest.mark.parametrize("letter", ["a", "ö"])
def test_the_longest_path_is_measured_in_bytes_and_the_refusal_says_it(letter: str) -> None:
    room = SOCKET_PATH_BYTES_MAX - BELOW - 1
    name = letter * (room // len(letter.encode()))
    require_short(Layout(Path(f"/{name}")), ENVOYS)

    with pytest.raises(StartError, match=f"may be {room + 1}, since sockets lie below it") as refusal:
        require_short(Layout(Path(f"/{name}{letter}b")), ENVOYS)
    assert EXIT_PREREQUISITE == refusal.value.exit_code


async def test_a_start_with_a_long_path_makes_nothing(tmp_path: Path) -> None:
    data = tmp_path / ("x" * 100)
    with pytest.raises(StartError, match="give a shorter one with --data-dir"):
        await Stack.start(StackOptions(data), lambda *_: None)

    assert [] == list(tmp_path.iterdir())
