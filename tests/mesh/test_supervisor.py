"""The supervisor alone, with a program of the system, when the machine does not give it what it needs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from compose.launcher.accounts import Account
from compose.launcher.errors import StartError
from compose.launcher.layout import Layout, prepare
from compose.launcher.process_spec import ProcessSpec
from compose.launcher.supervisor import Supervisor

ME = Account("me", os.geteuid(), os.getegid(), drop=False)


async def always() -> bool:
    return True


async def test_what_cannot_be_started_for_a_while_is_started_when_it_can(tmp_path: Path) -> None:
    layout, told = Layout(tmp_path), []
    supervisor = Supervisor(layout, lambda _, what: told.append(what))
    supervisor.start([ProcessSpec("sleeper", ME, ["sleep", "60"], always)])
    async with asyncio.timeout(10):
        while not told:  # noqa: ASYNC110 - its report is a plain call
            await asyncio.sleep(0.01)
    assert {} == supervisor.pids()

    layout.log.mkdir()
    layout.run.mkdir()
    async with asyncio.timeout(10):
        await supervisor.wait_ready(["sleeper"])
    assert ["sleeper"] == list(supervisor.pids())

    await supervisor.stop()
    assert {} == supervisor.pids()


def test_a_folder_of_somebody_elses_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    (folder / "thing").touch()

    with pytest.raises(StartError, match="holds other things already"):
        prepare(Layout(folder))

    assert ["thing"] == [entry.name for entry in folder.iterdir()]
    assert 0o700 == folder.stat().st_mode & 0o777
