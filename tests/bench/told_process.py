"""Processes of a benchmark's own, which are told what to do line by line: merchants, and their receiver."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from compose.launcher.release import checkout_root
from tests.bench.load_order import Arrivals, Order, Outcome

_STOP_S_MAX: Final = 15.0
_LINE_BYTES_MAX: Final = 1024 * 1024  # A few hundred public keys.


class ToldProcess:
    """One such process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def say(self, line: str) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> str:
        """Wait for one line."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def expect(self, wanted: str) -> None:
        """Wait for this line.

        Raises:
            RuntimeError: It said something else, or ended.
        """
        if (line := await self.hear()) != wanted:
            raise RuntimeError(f"a process said {line[:200]!r}, not {wanted!r}; its last words are above")


class LoadProcess(ToldProcess):
    """The merchants, `load_process`."""

    async def prepare(self, order: Order) -> None:
        """Let it connect and sign."""
        await self.say(msgspec.json.encode(order).decode())
        await self.expect("ready")

    async def run(self) -> int:
        """Let it send everything; returns once the last answer is there, with the number of good ones."""
        await self.say("go")
        word, _, number = (await self.hear()).partition(" ")
        if word != "done":
            raise RuntimeError("the load did not end its run; its last words are above")
        return int(number)

    async def outcome(self, order: Order) -> Outcome:
        """What came of it."""
        await self.say("tell")
        await self.expect("told")
        return msgspec.json.decode(Path(order.outcome).read_bytes(), type=Outcome)


class ReceiverProcess(ToldProcess):
    """Their receiver, `webhook_process`."""

    async def ended(self) -> int:
        """Of how many payments the end has come."""
        await self.say("count")
        return int(await self.hear())

    async def take(self, file: Path) -> Arrivals:
        """What has come since the last call."""
        await self.say(str(file))
        await self.expect("told")
        return msgspec.json.decode(file.read_bytes(), type=Arrivals)


@asynccontextmanager
async def running_load(merchants: int) -> AsyncIterator[tuple[LoadProcess, list[dict[str, str]]]]:
    """A process of so many merchants, and their public keys."""
    process = await _start("tests.bench.load_process", str(merchants))
    try:
        load = LoadProcess(process)
        yield load, json.loads(await load.hear())
    finally:
        await end_processes([process])


@asynccontextmanager
async def running_receiver(folder: Path, port: int, jwks: Path) -> AsyncIterator[ReceiverProcess]:
    """A receiver on this port, with the certificate in this folder."""
    process = await _start("tests.bench.webhook_process", str(folder), str(port), str(jwks))
    try:
        receiver = ReceiverProcess(process)
        await receiver.expect("ready")
        yield receiver
    finally:
        await end_processes([process])


@asynccontextmanager
async def running_told(module: str, *arguments: str) -> AsyncIterator[ToldProcess]:
    """A process of any module that is told line by line."""
    process = await _start(module, *arguments)
    try:
        yield ToldProcess(process)
    finally:
        await end_processes([process])


async def _start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=checkout_root(),
        limit=_LINE_BYTES_MAX,
    )  # fmt: skip


async def end_processes(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """End these, by force where asking is not enough."""
    for process in processes:
        if process.returncode is None:
            process.terminate()
    for process in processes:
        try:
            async with asyncio.timeout(_STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
