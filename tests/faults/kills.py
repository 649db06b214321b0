"""Kill one process at its crash points, one after the other, and see how fast it is back each time.

Every process has a killer of its own, and all work at the same time: most deaths fall into others' absence.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from compose.launcher.stack import Stack
from tests.faults.arming import arm_next_life, deaths_at, disarm, is_taken
from tests.faults.crash_sites import WHEN_STOPPED, CrashSite

BACK_S_MAX: Final = 10.0  # I7: what the product promises after a fault has ended.
# What a start costs a processor. Others that die meanwhile start meanwhile: the fault has not ended.
START_S: Final = 1.0
# The rarest point needs an outcome that stays unknown until somebody else asks.
REACHED_S_MAX: Final = 60.0
TRIES_MAX: Final = 3  # The load is only as good as chance; a point that nothing reaches is never reached.
LOOK_EVERY_S: Final = 0.02
# Which pass is the last: the first ones are a fresh process's, later ones fall anywhere into the load.
COUNT_MAX: Final = 4


@dataclass(slots=True)
class Deaths:
    """What happened to the processes.

    Attributes:
        wanted: how many deaths there are to be.
        at: deaths at each point, by the process's own word just before, and the kernel's afterwards.
        back_s: by point, from a death to being ready again; where it died once more before, to being ready
            after that.
        overlapping: deaths while at least one other process was dead or not ready yet.
        begun: absences so far, those by hand included.
        away: processes that are dead or not ready yet, at this moment.
        findings: points that were not reached, processes that were not back in time.
    """

    wanted: int = 0
    at: Counter[str] = field(default_factory=Counter)
    back_s: dict[str, list[float]] = field(default_factory=dict)
    overlapping: int = 0
    begun: int = 0
    away: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All deaths so far."""
        return sum(self.at.values())


class Killer:
    """Kills one process.

    Args:
        stack: with a load on it.
        process: its name to the supervisor.
        deaths: is added to.
        tell: called with one line for each death.
    """

    def __init__(
        self, stack: Stack, process: str, deaths: Deaths, tell: Callable[[str], None], chance: random.Random
    ) -> None:
        self._stack = stack
        self._process = process
        self._deaths = deaths
        self._tell = tell
        self._chance = chance
        self._before = 0

    async def run(self, sites: Sequence[CrashSite], end: float) -> None:
        """Kill it once at each point, in this order; what is not reached comes again at the end.

        Afterwards it runs unarmed.

        Args:
            end: nothing is begun from then on, on the loop's clock.
        """
        queue, missed = deque(sites), Counter[str]()
        loop = asyncio.get_running_loop()
        armed = await self._begin(queue)
        while armed is not None:
            site, before = armed, self._before
            if loop.time() >= end:
                queue.clear()
            armed = queue.popleft() if queue else None
            if armed is not None:
                self._arm(armed)
            if await self._die_at(site, before):
                continue
            missed[site.name] += 1
            if loop.time() >= end:
                await self._kill()  # The life that runs is armed, and could die when all is quiet.
                break
            if missed[site.name] < TRIES_MAX:
                queue.append(site)
            else:
                self._deaths.findings.append(f"{site.name} ({site.place}) was not reached")
            if armed is None:
                armed = await self._begin(queue)
            else:
                await self._kill()
        disarm(self._stack, self._process)

    async def _begin(self, queue: deque[CrashSite]) -> CrashSite | None:
        """Let a life begin that is armed for the first of the queue; None if there is none."""
        if not queue:
            return None
        first = queue.popleft()
        self._arm(first)
        await self._kill()
        return first

    def _arm(self, site: CrashSite) -> None:
        self._before = len(deaths_at(self._stack, self._process, site.name))
        count = 1 if site.name in WHEN_STOPPED else self._chance.randint(1, COUNT_MAX)
        arm_next_life(self._stack, self._process, site.name, count)

    async def _die_at(self, site: CrashSite, before: int) -> bool:
        """Wait for the death that was armed; False if it does not come, and the process lives on."""
        if site.name in WHEN_STOPPED:
            await self._stop()
        # It can die again while its last death is still waited for; how long ago that was is then not known.
        seen = len(deaths_at(self._stack, self._process, site.name)) == before
        try:
            async with asyncio.timeout(REACHED_S_MAX):
                while len(dead := deaths_at(self._stack, self._process, site.name)) == before:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)  # Told by a file of another process.
        except TimeoutError:
            self._tell(f"{self._process:13} {site.name:36} not reached within {REACHED_S_MAX:.0f} s")
            return False
        self._deaths.overlapping += self._deaths.away > 0
        seconds = await self._back(dead[-1])
        if Path(f"/proc/{dead[-1]}").exists():
            self._deaths.findings.append(f"{site.name}: {dead[-1]} said that it dies, and lives")
            return True
        self._deaths.at[site.name] += 1
        if seen:
            self._deaths.back_s.setdefault(site.name, []).append(seconds)
        progress = f"{self._deaths.count:5} of {self._deaths.wanted}  {self._process:13} {site.name:36}"
        self._tell(f"{progress} died, {f'back after {seconds:.1f} s' if seen else 'while it came back'}")
        if not is_taken(self._stack, self._process):
            await self._kill()  # It was back before the next point was written down.
        return True

    async def _stop(self) -> None:
        """As an operator would, and not before it can have anything to drain."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_S_MAX):
                while not self._stack.supervisor.has_been_ready(self._process):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)  # Told by a probe of the supervisor's.
        self._signal(signal.SIGTERM)

    async def _kill(self) -> None:
        """By hand: the next life takes what it was armed for."""
        pid = self._signal(signal.SIGKILL)
        await self._back(pid)

    def _signal(self, number: signal.Signals) -> int:
        """Signal the process if it runs; return its id, or 0."""
        pid = self._stack.supervisor.pids().get(self._process, 0)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    async def _back(self, dead: int) -> float:
        """Wait until another process than the dead one is ready; return the seconds since the last death."""
        self._deaths.away += 1
        self._deaths.begun += 1
        try:
            return await self._ready_after(dead)
        finally:
            self._deaths.away -= 1

    async def _ready_after(self, dead: int) -> float:
        loop = asyncio.get_running_loop()
        died, lives, others = loop.time(), False, self._deaths.begun
        while loop.time() - died < BACK_S_MAX + START_S * (self._deaths.begun - others):
            now = self._stack.supervisor.pids().get(self._process, dead)
            if now == dead:
                if lives:  # It was armed again, and died before it was ready.
                    died, lives, others = loop.time(), False, self._deaths.begun
            elif self._stack.supervisor.has_been_ready(self._process):
                return loop.time() - died
            else:
                lives = True
            await asyncio.sleep(LOOK_EVERY_S)
        seconds, meanwhile = loop.time() - died, self._deaths.begun - others
        what = f"was not back after {seconds:.0f} s, in which {meanwhile} others died"
        self._deaths.findings.append(f"I7 {self._process} {what}")
        return seconds
