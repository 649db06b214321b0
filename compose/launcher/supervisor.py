"""Keep the processes of one stack alive: ordered start, restart with backoff, ordered stop.

Promises: only processes started here are ever signalled; each dies with the launcher (the kernel sees to it);
what was started is on disk, so that the next launcher can wait for what a killed one left behind.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compose.launcher.accounts import command_as, with_secret
from compose.launcher.errors import EXIT_FAILED, StartError
from compose.launcher.layout import Layout
from compose.launcher.log_files import bound_logs
from compose.launcher.proc import started_at_ticks
from compose.launcher.process_spec import ProcessSpec

READY_S_MAX = 60.0  # A cold machine reads 300 MB of programs for the first time.
STOP_S_MAX = 15.0  # Longer than any drain, with every store away; after it a process is killed.
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # Quick at first: service must be back within 10 s.
FORGIVEN_S = 1.0  # So long ready makes up for one exit: what was killed a hundred times is back at once, too.
EXITS_BEFORE_READY_MAX = 4  # More exits than this before ever being ready is a fault, not a hiccup.
PROBE_EVERY_S = 0.05


def strikes_after(strikes: float, ready_s: float) -> float:
    """How many exits count after one more; `BACKOFF_S[ceil(strikes) - 1]` is the pause before the next start.

    Args:
        strikes: How many counted before.
        ready_s: How long it was ready since its last start, seconds; time that it spent on starting is no
            sign of health.
    """
    return min(max(0.0, strikes - ready_s / FORGIVEN_S) + 1, len(BACKOFF_S))


@dataclass
class Supervised:
    """One process and its history.

    Attributes:
        exits: How often it has ended by itself so far.
        strikes: How many of these still count; see `strikes_after`.
        ready_at: When the process that runs now became ready, on the loop's clock; None if it is not.
    """

    spec: ProcessSpec
    process: asyncio.subprocess.Process | None = None
    exits: int = 0
    strikes: float = 0.0
    ready_at: float | None = None
    failed: bool = False
    task: asyncio.Task[None] | None = None

    def ready_s(self, now: float) -> float:
        """How long it has been ready since its last start."""
        return 0.0 if self.ready_at is None else now - self.ready_at


class Supervisor:
    """Starts, watches and stops what it is given.

    Args:
        layout: Where logs and the record of started processes go.
        report: Called with (process name, what happened) for people and tests.
    """

    def __init__(self, layout: Layout, report: Callable[[str, str], None]) -> None:
        self._layout = layout
        self._report = report
        self._supervised: dict[str, Supervised] = {}
        self._done: dict[str, asyncio.Event] = {}
        self._stopping = False
        self._logs: asyncio.Task[None] | None = None

    def milestone(self, name: str) -> None:
        """Declare a step of the launcher done, for processes that wait for it."""
        self._event(name).set()

    def start(self, specs: list[ProcessSpec]) -> None:
        """Begin to start all of them; each waits for what it comes after."""
        for spec in specs:
            supervised = Supervised(spec)
            self._supervised[spec.name] = supervised
            supervised.task = asyncio.create_task(self._keep(supervised), name=spec.name)
        if self._logs is None:
            self._logs = asyncio.create_task(bound_logs(self._layout.log))

    async def wait_ready(self, names: list[str] | None = None) -> None:
        """Wait until the processes are ready.

        Raises:
            StartError: One did not become ready in time, or keeps exiting; the message has its last words.
        """
        for name in names or list(self._supervised):
            supervised = self._supervised[name]
            waits = [asyncio.create_task(self._event(name).wait())]
            if supervised.task is not None:
                waits.append(supervised.task)  # type: ignore[arg-type]  # ends early only when it failed
            await asyncio.wait(waits, timeout=READY_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            waits[0].cancel()
            if not self._event(name).is_set():
                raise StartError(f"{name} did not become ready: {self._last_line(name)}", EXIT_FAILED)

    async def wait_ready_again(self, name: str) -> None:
        """Wait until the process that runs now under this name is ready (from the caller's own deadline)."""
        while not (name in self.pids() and await self._supervised[name].spec.ready()):  # noqa: ASYNC110
            await asyncio.sleep(PROBE_EVERY_S)

    def pids(self) -> dict[str, int]:
        """Process ids of what runs now."""
        return {
            name: s.process.pid
            for name, s in self._supervised.items()
            if s.process is not None and s.process.returncode is None
        }

    def has_been_ready(self, name: str) -> bool:
        """Whether the process that runs now under this name has become ready."""
        return name in self.pids() and self._supervised[name].ready_at is not None

    def restarts(self) -> dict[str, int]:
        """How often each process has ended by itself so far."""
        return {name: s.exits for name, s in self._supervised.items()}

    async def stop(self) -> None:
        """End everything, last started first; kill what does not go."""
        self._stopping = True
        if self._logs is not None:
            self._logs.cancel()
        for supervised in reversed(list(self._supervised.values())):
            if not supervised.spec.is_store:
                self._signal(supervised, supervised.spec.stop_signal)
        await self._wait_gone([s for s in self._supervised.values() if not s.spec.is_store])
        for supervised in reversed(list(self._supervised.values())):
            if supervised.spec.is_store:
                self._signal(supervised, supervised.spec.stop_signal)
        await self._wait_gone(list(self._supervised.values()))

    async def _wait_gone(self, group: list[Supervised]) -> None:
        tasks = [s.task for s in group if s.task is not None and not s.task.done()]
        if not tasks:
            return
        for supervised in group:
            if supervised.process is None and supervised.task is not None:
                supervised.task.cancel()
        _, late = await asyncio.wait(tasks, timeout=STOP_S_MAX)
        for supervised in group:
            if supervised.task in late:
                self._signal(supervised, "KILL")
        if late:
            await asyncio.wait(late)

    async def _keep(self, supervised: Supervised) -> None:
        for name in supervised.spec.after:
            await self._event(name).wait()
        loop = asyncio.get_running_loop()
        while not self._stopping:
            supervised.ready_at = None
            try:
                process = await self._spawn(supervised.spec)
            except OSError as fault:
                # A full disk, no more files or processes: it passes, and then this one must come back.
                supervised.exits += 1
                self._tell(supervised.spec.name, f"cannot be started now ({fault.strerror}), trying again")
                await asyncio.sleep(BACKOFF_S[-1])
                continue
            supervised.process = process
            self._record()
            watch = asyncio.create_task(self._announce(supervised))
            code = await process.wait()
            watch.cancel()
            supervised.process = None
            if self._stopping:
                return
            supervised.exits += 1
            self._tell(supervised.spec.name, f"ended with {code}, starting it again")
            if not self._event(supervised.spec.name).is_set() and supervised.exits > EXITS_BEFORE_READY_MAX:
                supervised.failed = True
                return
            supervised.strikes = strikes_after(supervised.strikes, supervised.ready_s(loop.time()))
            await asyncio.sleep(BACKOFF_S[math.ceil(supervised.strikes) - 1])

    async def _announce(self, supervised: Supervised) -> None:
        while not await supervised.spec.ready():  # noqa: ASYNC110 - another process cannot set our event.
            await asyncio.sleep(PROBE_EVERY_S)
        supervised.ready_at = asyncio.get_running_loop().time()
        again = self._event(supervised.spec.name).is_set()
        self._event(supervised.spec.name).set()
        self._tell(supervised.spec.name, "is ready again" if again else "is ready")

    def _tell(self, name: str, what: str) -> None:
        with suppress(OSError):  # Output that cannot be written must not end the watch over a process.
            self._report(name, what)

    async def _spawn(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **spec.environment}
        command = command_as(spec.account, spec.argv, parent_death_signal=spec.stop_signal)
        if spec.secret_file is not None:
            command = with_secret(spec.secret_file, command)
        with self._log_file(spec.name).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/",
                umask=0o077, start_new_session=True,
            )  # fmt: skip

    def _log_file(self, name: str) -> Path:
        return self._layout.log / f"{name}.log"

    def _last_line(self, name: str) -> str:
        try:
            lines = self._log_file(name).read_bytes()[-4096:].decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return f"{lines[-1][:500]} (more in {self._log_file(name)})" if lines else "it wrote no log"

    def _event(self, name: str) -> asyncio.Event:
        return self._done.setdefault(name, asyncio.Event())

    def _signal(self, supervised: Supervised, name: str) -> None:
        if supervised.process is not None and supervised.process.returncode is None:
            supervised.process.send_signal(signal.Signals[f"SIG{name}"])

    def _record(self) -> None:
        rows = [
            {"name": name, "pid": pid, "started_at_ticks": started_at_ticks(pid)}
            for name, pid in self.pids().items()
        ]
        aside = self._layout.processes_file.with_suffix(".new")
        with suppress(
            OSError
        ):  # The record is for a launcher after us; without it that one looks for longer.
            aside.write_text(json.dumps(rows), encoding="utf-8")
            aside.rename(self._layout.processes_file)
