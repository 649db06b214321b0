"""Signed payments accepted a second through edge, sidecar, gateway and record, beside doing nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from compose.launcher.stack import StackOptions
from tests.bench.accept_stack import (
    CONNECTION_AGE_S,
    DoorStack,
    direct_target,
    edge_target,
    enrol,
    gateways,
    only_answering,
    owner_of,
)
from tests.bench.load_order import Order, Outcome, Target
from tests.bench.pipeline import percentiles_ms
from tests.bench.process_times import all_processes, used_s, with_children_s
from tests.bench.report import Report
from tests.bench.report import Target as Goal
from tests.bench.told_process import LoadProcess, running_load
from tests.raised_limits import RAISED

RATE_PER_S: Final = 300
CONNECTIONS: Final = 256
MERCHANTS: Final = 50
ACCEPTED: Final = 202
_PROCESSORS: Final = os.cpu_count() or 1
_METHOD: Final = (
    f"Signed payments of {MERCHANTS} merchants over {CONNECTIONS} open TLS 1.3 connections, from a process",
    "of their own, through edge and sidecar into one gateway process and PostgreSQL (fsync on); nothing else",
    "of the mesh runs, so nobody drives what is accepted. Requests are signed before a run, every receipt",
    "is verified after it. Closed loop: each connection sends as soon as it has its answer. Open loop: at an",
    "even rate, ages from when a request was due. CPU is from /proc, for one request, by process; on a busy",
    "host it says more than a rate. `per s by CPU` is what all processors of this host would carry at it.",
    "Only answers: an aiohttp handler that reads the request and answers with as many bytes, in the place of",
    "the gateway. Single-row commits: one insert a transaction over one connection, TLS.",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many requests."""

    warming: int
    closed: int
    open_loop_s: int
    nothing: int
    commits: int


FULL: Final = Sizes(2_000, 30_000, 60, 30_000, 2_000)
QUICK: Final = Sizes(300, 3_000, 4, 4_000, 300)


@dataclass(frozen=True, slots=True)
class Passage:
    """What one run of requests came to.

    Attributes:
        per_s: By the time from the first request to the last answer.
        ages_s: From due to answered.
        cpu_s: By process.
        commits: Transactions of the record meanwhile.
    """

    requests: int
    per_s: float
    ages_s: list[float]
    cpu_s: Mapping[str, float]
    commits: int = 0

    def cpu_us(self, process: str) -> float:
        """CPU of one process for one request, in microseconds."""
        return self.cpu_s.get(process, 0.0) / self.requests * 1_000_000

    def cpu_us_whole(self) -> float:
        """CPU of all processes for one request, in microseconds."""
        return sum(self.cpu_s.values()) / self.requests * 1_000_000

    def per_s_by_cpu(self, processors: int) -> float:
        """How many a second so many processors carry at this cost."""
        return processors * 1_000_000 / self.cpu_us_whole()


def measure(*, quick: bool) -> Report:
    """Measure."""
    folder = Path(tempfile.mkdtemp(prefix="countermark-bench-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        return report_of(asyncio.run(_passages(folder, QUICK if quick else FULL)), _PROCESSORS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _passages(folder: Path, sizes: Sizes) -> dict[str, Passage]:
    options = StackOptions(folder / "door", connection_age_s_max=CONNECTION_AGE_S, limits=RAISED)
    stack = await DoorStack.start(options, lambda *_: None)
    assert isinstance(stack, DoorStack)
    try:
        owner = await owner_of(stack)
        try:
            async with running_load(MERCHANTS) as (load, jwks):
                await enrol(owner, jwks)
                return await _Bench(stack, owner, load, folder / "outcome.json").run(sizes)
        finally:
            await owner.close()
    finally:
        await stack.stop()


class _Bench:
    """The runs, one after the other on one stack."""

    def __init__(
        self, stack: DoorStack, owner: asyncpg.Connection[asyncpg.Record], load: LoadProcess, outcome: Path
    ) -> None:
        self._stack = stack
        self._owner = owner
        self._load = load
        self._outcome = outcome

    async def run(self, sizes: Sizes) -> dict[str, Passage]:
        """Run all of it."""
        found: dict[str, Passage] = {}
        edge, direct = edge_target(self._stack), direct_target(self._stack)
        async with gateways(self._stack, 1) as pids:
            await self._pass(self._order(edge, sizes.warming), pids)
            _tell("accepted")
            found["accepted"] = await self._pass(self._order(edge, sizes.closed), pids)
            _tell("open loop")
            order = self._order(edge, sizes.open_loop_s * RATE_PER_S, rate_per_s=RATE_PER_S)
            found["open_loop"] = await self._pass(order, pids)
        async with only_answering(self._stack) as pids:
            await self._pass(self._order(edge, sizes.warming, verifies=False), pids)
            _tell("only answers")
            found["nothing"] = await self._pass(self._order(edge, sizes.nothing, verifies=False), pids)
            found["nothing_direct"] = await self._pass(
                self._order(direct, sizes.nothing, verifies=False), pids
            )
        _tell("single-row commits")
        found["commits"] = await self._commit(sizes.commits)
        return found

    def _order(
        self, target: Target, requests: int, *, rate_per_s: float = 0.0, verifies: bool = True
    ) -> Order:
        return Order(
            target=target, requests=requests, connections=CONNECTIONS, rate_per_s=rate_per_s,
            verifies=verifies, outcome=str(self._outcome),
        )  # fmt: skip

    async def _pass(self, order: Order, behind: set[int]) -> Passage:
        await self._load.prepare(order)
        supervised = self._stack.supervisor.pids()
        groups = {
            "client": {self._load.pid}, "edge": {supervised["edge"]},
            "sidecar": {supervised["gateway-sidecar"]}, "gateway": behind,
        }  # fmt: skip
        server, commits = supervised["postgres"], await self._commits()
        before = all_processes()
        await self._load.run()
        after = all_processes()
        cpu_s = used_s(groups, before, after)
        cpu_s["postgres"] = with_children_s(after, server) - with_children_s(before, server)
        outcome = await self._load.outcome(order)
        return passage_of(order, outcome, cpu_s, await self._commits() - commits)

    async def _commit(self, number: int) -> Passage:
        await self._owner.execute("create schema bench")
        await self._owner.execute("create table bench.line (n bigint primary key, at timestamptz)")
        server = self._stack.supervisor.pids()["postgres"]
        before, ages_s, begun = all_processes(), [], time.monotonic()
        for n in range(number):
            at = time.monotonic()
            await self._owner.execute("insert into bench.line values ($1, now())", n)
            ages_s.append(time.monotonic() - at)
        took_s = time.monotonic() - begun
        after = all_processes()
        cpu_s = {"postgres": with_children_s(after, server) - with_children_s(before, server)}
        cpu_s |= used_s({"client": {os.getpid()}}, before, after)
        return Passage(number, number / took_s, ages_s, cpu_s, number)

    async def _commits(self) -> int:
        await self._owner.execute("select pg_stat_clear_snapshot()")
        return int(
            await self._owner.fetchval(
                "select xact_commit from pg_stat_database where datname = current_database()"
            )
        )


def passage_of(order: Order, outcome: Outcome, cpu_s: Mapping[str, float], commits: int) -> Passage:
    """What a run came to (pure).

    Raises:
        RuntimeError: Something was not accepted, or has no receipt that holds: then there is no figure.
    """
    refused = sum(sent.status != ACCEPTED for sent in outcome.sent)
    if outcome.failures or refused or outcome.refused_receipts:
        raise RuntimeError(
            f"of {order.requests} requests {refused} were answered, but not accepted,"
            f" {outcome.refused_receipts} have no receipt that holds, {len(outcome.failures)} failed:"
            f" {'; '.join(outcome.failures[:1])}"
        )
    sent = outcome.sent
    took_s = max(each.ended_s for each in sent) - min(each.due_s for each in sent)
    return Passage(
        len(sent), len(sent) / took_s, [each.ended_s - each.due_s for each in sent], cpu_s, commits
    )


def report_of(passages: Mapping[str, Passage], processors: int) -> Report:
    """The table, the figures and what they are held to (pure)."""
    names = {
        "accepted": f"accepted, {CONNECTIONS} connections",
        "open_loop": f"accepted, open loop {RATE_PER_S}/s",
        "nothing": "only answers, same Envoys",
        "nothing_direct": "only answers, no Envoy",
        "commits": "single-row commits",
    }
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    for name, found in passages.items():
        p50_ms, p99_ms = percentiles_ms(found.ages_s)
        figures |= {
            f"{name}_per_s": found.per_s,
            f"{name}_per_s_by_cpu": found.per_s_by_cpu(processors),
            f"{name}_cpu_us": found.cpu_us_whole(),
            f"{name}_p50_ms": p50_ms,
            f"{name}_p99_ms": p99_ms,
        } | {f"{name}_{process}_us": found.cpu_us(process) for process in found.cpu_s}
        rows.append(
            (
                names[name],
                ", ".join(f"{process} {found.cpu_us(process):.0f}" for process in found.cpu_s),
                f"{found.requests:,}", f"{found.per_s:,.0f}", f"{found.per_s_by_cpu(processors):,.0f}",
                f"{found.cpu_us_whole():,.0f}", f"{found.commits / found.requests:.3f}",
                f"{p50_ms:,.1f}", f"{p99_ms:,.1f}",
            )
        )  # fmt: skip
    figures["accepted_to_nothing_ratio"] = passages["accepted"].per_s / passages["nothing"].per_s
    figures["accepted_to_nothing_ratio_by_cpu"] = (
        passages["nothing"].cpu_us_whole() / passages["accepted"].cpu_us_whole()
    )
    columns = (
        "what", "CPU µs a request", "requests", "per s", "per s by CPU", "µs whole", "commits each",
        "p50 ms", "p99 ms",
    )  # fmt: skip
    return Report("accept", _METHOD, columns, rows, figures, TARGETS)


TARGETS: Final = (
    Goal("accepted_per_s", 1_000),
    Goal("accepted_to_nothing_ratio", 0.25),
    Goal("open_loop_p99_ms", 100, at_most=True),
    Goal("accepted_gateway_us", 1_000, at_most=True),
)


def _tell(name: str) -> None:
    sys.stderr.write(f"accept: {name}\n")
