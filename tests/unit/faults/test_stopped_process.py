"""A process that was stopped runs on, whatever becomes of the one that stopped it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from compose.launcher.proc import state_of
from compose.launcher.release import checkout_root
from tests.faults.stopped_process import stopped

# Stops a process and is killed before it can let it run on.
STOPS_AND_WAITS = """
import asyncio, sys
from tests.faults.stopped_process import stopped
async def main():
    async with stopped(int(sys.argv[1])):
        print("stopped", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


async def until(pid: int, *, is_stopped: bool) -> None:
    async with asyncio.timeout(10):
        while (state_of(pid) == "T") != is_stopped:  # noqa: ASYNC110 - the kernel's news
            await asyncio.sleep(0.01)


async def test_it_runs_on_after_the_block(sleeper: subprocess.Popen[bytes]) -> None:
    async with stopped(sleeper.pid):
        await until(sleeper.pid, is_stopped=True)
    await until(sleeper.pid, is_stopped=False)


async def test_it_runs_on_when_its_stopper_is_killed(sleeper: subprocess.Popen[bytes]) -> None:
    stopper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPS_AND_WAITS, str(sleeper.pid),
        stdout=asyncio.subprocess.PIPE, cwd=checkout_root(),
    )  # fmt: skip
    assert stopper.stdout is not None
    assert b"stopped\n" == await stopper.stdout.readline()
    await until(sleeper.pid, is_stopped=True)

    stopper.send_signal(signal.SIGKILL)
    await stopper.wait()

    await until(sleeper.pid, is_stopped=False)
