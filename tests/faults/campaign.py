"""One stack, one load, and everything that is done to them; afterwards, what did not hold."""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from compose.launcher.stack import Stack, StackOptions
from services.node.process import cancel_until_heard
from tests.faults.client_log import ClientLog, read_client_log
from tests.faults.command_log import CommandLog
from tests.faults.commands import Commander
from tests.faults.crash_sites import CrashSite
from tests.faults.doctored import doctored_runs
from tests.faults.doors import Doors
from tests.faults.kills import BACK_S_MAX, Deaths, Killer
from tests.faults.load import Load
from tests.faults.more_workers import ENGINE, start_workers
from tests.faults.observed import Observation
from tests.faults.observing import Watcher
from tests.faults.planted_faults import planted_faults
from tests.faults.stories import Stories
from tests.faults.system_faults import FAULTS
from tests.faults.verdicts import judge
from tests.mesh.enrolled_merchant import enrol_merchant
from tests.raised_limits import RAISED

RATE_PER_S: Final = 6.0  # Two cores carry much more; what is wanted is a payment at every point, not a queue.
# Kills at each point between two checks: few enough to tell which it was, and checks take time, too.
ROUNDS_PER_CHECK: Final = 10
# The engine has more than a third of all points; more of them share these, and die at the same time.
WORKERS: Final = 3
WARM_S: Final = 1.0
PROMISES_SPOILED: Final = 50  # Enough to find one of each kind among them.
AUDIT_EVERY_S: Final = 1.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        sites: crash points to kill at, `kills` times each.
        faults: names of system faults, in this order.
        check_each: check after each fault rather than once after all of them.
        kills_s_max: no kill is begun after so long, and what was done is judged.
        workers: engines beside each other, each killed at its share of their points.
    """

    sites: Sequence[CrashSite]
    kills: int
    faults: Sequence[str]
    seed: int
    rate_per_s: float = RATE_PER_S
    check_each: bool = True
    workers: int = WORKERS
    kills_s_max: float = math.inf


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        audits: reads of the whole ledger while the load went on.
        stories: how often each second act was played to its end.
        checkers: name of a fault planted for the checkers, and whether they saw it.
    """

    deaths: Deaths = field(default_factory=Deaths)
    recovered_s: dict[str, float] = field(default_factory=dict)
    audits: int = 0
    checks: int = 0
    judged: int = 0
    violations: list[str] = field(default_factory=list)
    checkers: dict[str, bool] = field(default_factory=dict)
    load: dict[str, Any] = field(default_factory=dict)
    stories: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def blind(self) -> list[str]:
        """Planted faults that no checker saw."""
        return [name for name, seen in self.checkers.items() if not seen]

    @property
    def ok(self) -> bool:
        """Whether everything held and the checkers see."""
        return not self.violations and not self.blind and bool(self.checkers)


async def run_campaign(plan: Plan, tell: Tell) -> Findings:
    """Do everything, check, and leave nothing running."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="countermark-faults-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)  # The services' own accounts must be able to enter.
    try:
        stack = await Stack.start(StackOptions(folder / "stack", limits=RAISED), lambda *_: None)
        tell(f"the stack is ready after {time.monotonic() - began:.0f} s; seed {plan.seed}")
        try:
            async with enrol_merchant(stack) as merchant:
                log = ClientLog(folder / "client.jsonl")
                chance = random.Random(f"campaign {plan.seed}")
                load = Load(merchant, log, plan.rate_per_s, plan.seed)
                commands, doors = CommandLog(folder / "commands.jsonl"), Doors(stack)
                stories = Stories(load, Commander(doors, merchant, load.accepted_at, commands), plan.seed)
                load.story = stories.one
                watcher = Watcher(stack, merchant, load, commands, chance)
                campaign = Campaign(stack, load, stories, log, watcher, chance, tell)
                findings = await campaign.run(plan)
                await doors.close()
                log.close()
                commands.close()
        finally:
            await stack.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    findings.seconds = time.monotonic() - began
    return findings


class Campaign:
    """The steps over one running stack."""

    def __init__(
        self,
        stack: Stack,
        load: Load,
        stories: Stories,
        log: ClientLog,
        watcher: Watcher,
        chance: random.Random,
        tell: Tell,
    ) -> None:
        self._stack = stack
        self._load = load
        self._stories = stories
        self._log = log
        self._watcher = watcher
        self._chance = chance
        self._tell = tell
        self._findings = Findings()
        self._promises_judged = 0

    async def run(self, plan: Plan) -> Findings:
        """Kill, break, check, and try the checkers."""
        loop = asyncio.get_running_loop()
        end = loop.time() + plan.kills_s_max
        if plan.sites:
            self._findings.deaths.wanted = plan.kills * len(plan.sites)
            for first in range(0, plan.kills, ROUNDS_PER_CHECK):
                rounds = min(ROUNDS_PER_CHECK, plan.kills - first)
                if loop.time() < end:
                    await self._under_load(self._kill(plan.sites, rounds, plan.workers, end))
                    await self._check(f"{self._findings.deaths.count} kills")
        if plan.check_each:
            for name in plan.faults:
                await self._under_load(self._break(name))
                await self._check(name)
        elif plan.faults:
            await self._under_load(self._break_all(plan.faults))
            await self._check("all faults")
        await self._try_checkers()
        self._findings.violations += self._findings.deaths.findings
        self._findings.violations += self._load.findings
        self._findings.load = self._load.figures()
        self._findings.stories = dict(sorted(self._stories.told.items()))
        return self._findings

    async def _under_load(self, work: Coroutine[Any, Any, None]) -> None:
        sending = asyncio.create_task(self._load.run())
        auditing = asyncio.create_task(self._audit())
        await asyncio.sleep(WARM_S)
        try:
            await work
        finally:
            self._load.stop()
            await sending
            await self._stories.end_all()
            await cancel_until_heard([auditing])

    async def _audit(self) -> None:
        """Read the ledger again and again while everything moves: money is conserved at every moment."""
        while True:
            rows = await self._watcher.audit()
            if rows is not None:
                self._findings.audits += 1
                self._findings.violations += [f"I1 under load: {row}" for row in rows]
            await asyncio.sleep(AUDIT_EVERY_S)

    async def _kill(self, sites: Sequence[CrashSite], rounds: int, workers: int, end: float) -> None:
        """All processes at once, each at its own points one after the other."""
        by_service: dict[str, list[CrashSite]] = defaultdict(list)
        for site in sites:
            by_service[site.process].append(site)
        killers = []
        for service, own in by_service.items():
            order = [site for _ in range(rounds) for site in self._chance.sample(own, len(own))]
            names = await start_workers(self._stack, workers) if service == ENGINE else [service]
            for first, name in enumerate(names):
                killer = Killer(self._stack, name, self._findings.deaths, self._tell, self._chance)
                killers.append(killer.run(order[first :: len(names)], end))
        await asyncio.gather(*killers)

    async def _break_all(self, names: Sequence[str]) -> None:
        for name in names:
            await self._break(name)

    async def _break(self, name: str) -> None:
        await FAULTS[name](self._stack)
        began = time.monotonic()
        key = f"{self._chance.getrandbits(128):032x}"
        body = b'{"kind":"collect","amount":100,"currency":"EUR","instrument":"tok_visa_ok"}'
        answer = await self._load.answered(body, key)
        seconds = self._findings.recovered_s[name] = time.monotonic() - began
        if answer is None or seconds > BACK_S_MAX:
            self._findings.violations.append(f"I7 {name}: accepts again after {seconds:.1f} s")
        self._tell(f"{name:36} accepts again after {seconds:.1f} s")

    async def _check(self, what: str) -> None:
        """Wait for quiet, hold everything new to its promises, remember the outcomes."""
        late = await self._watcher.until_quiet()
        promises = read_client_log(self._log.path)
        seen = await self._watcher.observe(promises[self._promises_judged :])
        self._promises_judged = len(promises)
        self._watcher.remember(seen)
        found = [*late, *map(str, judge(seen))]
        self._findings.violations += [f"after {what}: {violation}" for violation in found]
        self._findings.checks += 1
        self._findings.judged = len(seen.recorded)
        told = f"{len(found)} violations" if found else "everything holds"
        self._tell(f"checked {len(seen.recorded)} payments after {what}: {told}")
        for violation in found[:10]:
            self._tell(f"    {violation}")

    async def _try_checkers(self) -> None:
        """Plant faults into what was seen, and into what is looked at; each must be seen."""
        await self._stories.each()  # So that there is something of each kind to be wrong about.
        await self._check("each story once")
        promises = read_client_log(self._log.path)
        seen = await self._watcher.observe(promises[-PROMISES_SPOILED:])
        before = set(judge(seen))

        def is_caught(doctored: Observation, invariant: str, says: str = "") -> bool:
            found = set(judge(doctored)) - before
            return any(new.invariant == invariant and says in new.what for new in found)

        for planted in planted_faults():
            caught = is_caught(planted.spoil(seen), planted.invariant, planted.says)
            self._findings.checkers[planted.name] = caught
        for name, invariant, doctored in await doctored_runs(self._stack, self._watcher, self._log):
            self._findings.checkers[name] = is_caught(doctored, invariant)
        saw = sum(self._findings.checkers.values())
        self._tell(f"the checkers saw {saw} of {len(self._findings.checkers)} planted faults")
