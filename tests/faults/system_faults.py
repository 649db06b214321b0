"""Faults of what the services stand on, and of the banks: each is begun and ended under load, by its name.

A fault is a coroutine function with `stack` as its only argument; the first line of its docstring is what
--list shows. It returns when the fault has ended; being back is then waited for by whoever called it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, TypeAlias

from compose.launcher.stack import Stack
from services.payments.machine.policy import Policy
from tests.faults.more_workers import start_workers
from tests.faults.stopped_process import stopped

Fault: TypeAlias = Callable[[Stack], Awaitable[None]]

# Longer than every timeout of a caller of the store or the bank, so that each has to give up once.
AWAY_S: Final = 6.0
RESTARTS: Final = 2
RESTARTED_S_MAX: Final = 10.0
BETWEEN_S: Final = 2.5
LOOK_EVERY_S: Final = 0.005


async def restart_postgres_at_once(stack: Stack) -> None:
    """PostgreSQL ends immediately, without a checkpoint, twice"""
    for _ in range(RESTARTS):
        # Immediate shutdown: sessions are cut, what was not committed is gone, recovery runs at the start.
        await _replaced(stack, "postgres", signal.SIGQUIT)
        await asyncio.sleep(BETWEEN_S)


async def wipe_redis(stack: Stack) -> None:
    """Redis loses everything that it holds"""
    # It keeps nothing on disk; none of its users may call FLUSHALL, ours included.
    await _replaced(stack, "redis", signal.SIGKILL)


async def pause_redis(stack: Stack) -> None:
    """Redis takes connections and answers nothing"""
    async with stopped(stack.supervisor.pids()["redis"]):
        await asyncio.sleep(AWAY_S)


async def wipe_nats(stack: Stack) -> None:
    """NATS is killed and comes back with an empty disk"""
    pid = stack.supervisor.pids()["nats"]
    async with stopped(pid):
        await asyncio.to_thread(_empty, stack.layout.state / "nats")
        os.kill(pid, signal.SIGKILL)
        await _until_replaced(stack, "nats", pid)


async def pause_a_bank(stack: Stack) -> None:
    """One bank takes connections and answers nothing"""
    async with stopped(stack.supervisor.pids()[_banks(stack)[0]]):
        await asyncio.sleep(AWAY_S)


async def take_both_banks_away(stack: Stack) -> None:
    """Both banks are killed and refuse connections"""
    async with AsyncExitStack() as held:
        for bank in _banks(stack):
            # The new process is stopped before it can listen: its port belongs to nobody.
            pid = await _replaced(stack, bank, signal.SIGKILL)
            await held.enter_async_context(stopped(pid))
        await asyncio.sleep(AWAY_S)


async def stop_a_worker_beyond_its_lease(stack: Stack) -> None:
    """An engine hangs, another takes over, and the first wakes with answers of lost leases"""
    await start_workers(stack, 2)
    async with stopped(stack.supervisor.pids()["payments"]):
        await asyncio.sleep(Policy().lease.total_seconds() + AWAY_S)


async def kill_everything(stack: Stack) -> None:
    """Every process is killed at the same moment"""
    pids = stack.supervisor.pids()
    for pid in pids.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for name, pid in pids.items():
        await _until_replaced(stack, name, pid)


FAULTS: Final[dict[str, Fault]] = {
    "postgres-restart": restart_postgres_at_once,
    "redis-wiped": wipe_redis,
    "redis-paused": pause_redis,
    "nats-wiped": wipe_nats,
    "bank-paused": pause_a_bank,
    "banks-away": take_both_banks_away,
    "worker-zombie": stop_a_worker_beyond_its_lease,
    "everything-killed": kill_everything,
}


def _banks(stack: Stack) -> list[str]:
    return stack.mesh.parties_of("banks")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


async def _replaced(stack: Stack, name: str, number: signal.Signals) -> int:
    """Signal a process and return the id of its successor as soon as there is one."""
    pid = stack.supervisor.pids()[name]
    os.kill(pid, number)
    return await _until_replaced(stack, name, pid)


async def _until_replaced(stack: Stack, name: str, pid: int) -> int:
    async with asyncio.timeout(RESTARTED_S_MAX):
        while (now := stack.supervisor.pids().get(name, pid)) == pid:  # noqa: ASYNC110 - the kernel's news
            await asyncio.sleep(LOOK_EVERY_S)
    return now
