"""The supervisor alone, with a program of the system, when the machine does not give it what it needs."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from compose.launcher.accounts import Account
from compose.launcher.errors import StartError
from compose.launcher.layout import Layout, prepare
from compose.launcher.process_spec import ProcessSpec
from compose.launcher.supervisor import BACKOFF_S, FORGIVEN_S, Supervisor, strikes_after

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


def test_what_is_killed_again_and_again_while_it_works_starts_again_at_once() -> None:
    strikes = 0.0
    for _ in range(100):
        strikes = strikes_after(strikes, FORGIVEN_S)
    assert 1 == strikes

    for _ in range(100):
        strikes = strikes_after(strikes, FORGIVEN_S / 2)
    assert len(BACKOFF_S) == strikes
    assert 1 == strikes_after(strikes, len(BACKOFF_S) * FORGIVEN_S)


async def test_starts_that_come_to_nothing_are_paused_between_and_health_is_remembered(
    tmp_path: Path,
) -> None:
    layout, told = Layout(tmp_path / "data"), []
    os.close(prepare(layout))
    supervisor = Supervisor(layout, lambda _, what: told.append(what))
    supervisor.start([ProcessSpec("sleeper", ME, ["sleep", "60"], always)])
    await supervisor.wait_ready(["sleeper"])
    sleeper = supervisor._supervised["sleeper"]
    try:
        for count in range(1, len(BACKOFF_S)):
            await _kill(supervisor)
            assert count - 0.5 < sleeper.strikes <= count
        assert sleeper.ready_at is not None
        sleeper.ready_at -= len(BACKOFF_S) * FORGIVEN_S  # As if it had been ready for so much longer.
        await _kill(supervisor)
        assert (1, len(BACKOFF_S)) == (sleeper.strikes, sleeper.exits)
    finally:
        await supervisor.stop()


async def _kill(supervisor: Supervisor) -> None:
    """Kill it as soon as it is ready, and wait until it is ready again."""
    pid, ready = supervisor.pids()["sleeper"], supervisor._supervised["sleeper"]
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while supervisor.pids().get("sleeper", pid) == pid or ready.ready_at is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_a_folder_of_somebody_elses_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    (folder / "thing").touch()

    with pytest.raises(StartError, match="holds other things already"):
        prepare(Layout(folder))

    assert ["thing"] == [entry.name for entry in folder.iterdir()]
    assert 0o700 == folder.stat().st_mode & 0o777


# Reads its descriptor 3, and tells what else it can see of the secret.
READS_A_DESCRIPTOR = """
import os, sys, time
from pathlib import Path
secret = os.read(3, 100)
own = Path("/proc/self/cmdline").read_bytes() + Path("/proc/self/environ").read_bytes()
told = {"read": secret.decode(), "shown": secret in own, "uid": os.geteuid()}
told["open"] = sorted(os.listdir("/proc/self/fd"))
Path(sys.argv[1]).write_text(repr(told))
time.sleep(60)
"""


async def test_a_secret_arrives_as_an_open_descriptor_and_nowhere_else(tmp_path: Path) -> None:
    layout, secret, told = Layout(tmp_path / "data"), tmp_path / "secret", tmp_path / "told"
    os.close(prepare(layout))
    secret.write_text("a passphrase")
    secret.chmod(0o600)
    account = ME
    if os.geteuid() == 0:  # The file stays closed to the account that the process runs as.
        account = Account("nobody", 65534, 65534, drop=True)
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o777 == 0o700:
                folder.chmod(0o711)
        told.touch()
        os.chown(told, 65534, 65534)

    async def has_told() -> bool:
        return told.exists() and told.read_text().endswith("}")

    supervisor = Supervisor(layout, lambda *_: None)
    argv = [sys._base_executable, "-c", READS_A_DESCRIPTOR, str(told)]  # type: ignore[attr-defined]
    supervisor.start([ProcessSpec("reader", account, argv, has_told, secret_file=secret)])
    try:
        await supervisor.wait_ready(["reader"])
        first = ast.literal_eval(told.read_text())
        told.write_text("")
        os.kill(supervisor.pids()["reader"], signal.SIGKILL)
        await supervisor.wait_ready_again("reader")
        second = ast.literal_eval(told.read_text())
    finally:
        await supervisor.stop()

    assert ("a passphrase", False, account.uid) == (first["read"], first["shown"], first["uid"])
    assert "3" in first["open"]
    assert first == second  # A restarted process finds it open from its beginning again.


async def test_without_its_secret_a_process_is_not_run(tmp_path: Path) -> None:
    layout, ran = Layout(tmp_path / "data"), tmp_path / "ran"
    os.close(prepare(layout))

    async def has_run() -> bool:
        return ran.exists()

    supervisor = Supervisor(layout, lambda *_: None)
    supervisor.start([ProcessSpec("reader", ME, ["touch", str(ran)], has_run, secret_file=tmp_path / "none")])
    try:
        with pytest.raises(StartError, match=r"cannot open .*none"):
            await supervisor.wait_ready(["reader"])
    finally:
        await supervisor.stop()

    assert not ran.exists()
