"""Signed payments from the merchant's signature to the verified webhook, everything on one machine."""

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

from compose.demo.receiver import PATH
from compose.demo.wire import Wire
from compose.launcher.ports import LOOPBACK
from compose.launcher.stack import DEMO_MERCHANT, RECEIVER, Stack, StackOptions
from signing import keys_to_jwks
from tests.bench.accept import ACCEPTED, CONNECTIONS, MERCHANTS
from tests.bench.accept_stack import CONNECTION_AGE_S, edge_target, enrol, owner_of
from tests.bench.load_order import Arrivals, Order, Outcome
from tests.bench.pipeline import percentiles_ms
from tests.bench.process_times import all_processes, used_s, with_children_s
from tests.bench.report import Report, Target
from tests.bench.told_process import LoadProcess, ReceiverProcess, running_load, running_receiver
from tests.raised_limits import RAISED

RATE_PER_S: Final = 300
AGE_MS_MAX: Final = 1_000
# What the merchants' endpoints ask for: who waits for an outcome wants no webhook of what comes before it.
ENDS: Final = ["payment.failed", "payment.succeeded"]
_LOOK_EVERY_S: Final = 0.2
_STUCK_S_MAX: Final = 60.0
_METHOD: Final = (
    f"Signed payments of {MERCHANTS} merchants, each with an endpoint that asks for outcomes, over",
    f"{CONNECTIONS} open TLS 1.3 connections, through all processes as ./start runs them, simulators,",
    "merchants and their receiver included, on this one machine. An age is from the moment a payment was",
    "to be signed to the webhook of its end, its signature verified. Open loop: at an even rate. All at",
    "once: as fast as answers come; the rate is by the last webhook. Sustained: the highest of a few shares",
    f"of that rate at which 99 of 100 ages stay below {AGE_MS_MAX} ms. CPU is from /proc, for one payment,",
    "by process.",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many payments, for how long, and which shares of the rate of all at once are tried."""

    warming: int
    open_loop_s: int
    at_once: int
    sustained_s: int
    shares: tuple[float, ...]


FULL: Final = Sizes(1_000, 300, 5_000, 30, (0.9, 0.75, 0.6, 0.45))
QUICK: Final = Sizes(100, 3, 400, 3, (0.6,))


@dataclass(frozen=True, slots=True)
class Journey:
    """What one run of payments came to.

    Attributes:
        per_s: By the time from the first signature to the last webhook.
        ages_s: From due to the webhook of the end.
        accepted_s: From due to the answer.
        cpu_s: By process.
        deliveries: Webhooks, of all events.
    """

    payments: int
    per_s: float
    ages_s: list[float]
    accepted_s: list[float]
    cpu_s: Mapping[str, float]
    deliveries: int

    def cpu_us(self, process: str) -> float:
        """CPU of one kind of process for one payment, in microseconds."""
        return self.cpu_s.get(process, 0.0) / self.payments * 1_000_000

    def cpu_us_whole(self) -> float:
        """CPU of all processes for one payment, in microseconds."""
        return sum(self.cpu_s.values()) / self.payments * 1_000_000


def measure(*, quick: bool) -> Report:
    """Measure."""
    folder = Path(tempfile.mkdtemp(prefix="countermark-bench-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        return report_of(asyncio.run(_journeys(folder, QUICK if quick else FULL)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _journeys(folder: Path, sizes: Sizes) -> dict[str, Journey]:
    stack = await Stack.start(
        StackOptions(folder / "mesh", connection_age_s_max=CONNECTION_AGE_S, limits=RAISED), lambda *_: None
    )
    try:
        jwks = folder / "gateway-keys.json"
        jwks.write_bytes(await _gateway_keys(stack))
        owner = await owner_of(stack)
        try:
            async with (
                running_load(MERCHANTS) as (load, keys),
                running_receiver(stack.layout.state / DEMO_MERCHANT, stack.ports[RECEIVER], jwks) as receiver,
            ):
                await enrol(owner, keys)
                await _add_endpoints(owner, f"https://{LOOPBACK}:{stack.ports[RECEIVER]}{PATH}")
                return await _Bench(stack, load, receiver, folder).run(sizes)
        finally:
            await owner.close()
    finally:
        await stack.stop()


async def _gateway_keys(stack: Stack) -> bytes:
    trust = str(stack.places.identity("supervisor") / "trust.pem")
    wire = Wire(stack.places.origins[0], LOOPBACK, trust)
    try:
        await wire.learn_keys()
        return keys_to_jwks(wire.gateway_keys.values())
    finally:
        await wire.close()


async def _add_endpoints(owner: asyncpg.Connection[asyncpg.Record], url: str) -> None:
    await owner.execute(
        "select notifications.add_endpoint(replace(id, 'mer', 'ep'), id, $1) from registry.merchant", url
    )
    await owner.execute("update notifications.endpoint set events = $1", ENDS)


class _Bench:
    """The runs, one after the other on one stack."""

    def __init__(self, stack: Stack, load: LoadProcess, receiver: ReceiverProcess, folder: Path) -> None:
        self._stack = stack
        self._load = load
        self._receiver = receiver
        self._folder = folder

    async def run(self, sizes: Sizes) -> dict[str, Journey]:
        """Run all of it."""
        await self._travel(sizes.warming, 0)
        _tell("all at once")
        at_once = await self._travel(sizes.at_once, 0)
        found = {"at_once": at_once}
        _tell(f"open loop, {RATE_PER_S}/s")
        found["open_loop"] = await self._travel(sizes.open_loop_s * RATE_PER_S, RATE_PER_S)
        for share in sizes.shares:
            rate_per_s = at_once.per_s * share
            _tell(f"open loop, {rate_per_s:.0f}/s")
            found["sustained"] = await self._travel(int(sizes.sustained_s * rate_per_s), rate_per_s)
            if percentiles_ms(found["sustained"].ages_s)[1] < AGE_MS_MAX:
                return found
        del found["sustained"]
        return found

    async def _travel(self, payments: int, rate_per_s: float) -> Journey:
        order = Order(
            target=edge_target(self._stack), requests=payments, connections=CONNECTIONS,
            rate_per_s=rate_per_s, signs_before=False, outcome=str(self._folder / "outcome.json"),
        )  # fmt: skip
        await self._load.prepare(order)
        processes = self._stack.supervisor.pids()
        server = processes["postgres"]
        groups = groups_of(processes) | {"client": {self._load.pid}, "receiver": {self._receiver.pid}}
        before = all_processes()
        await self._until_told(await self._load.run())
        after = all_processes()
        cpu_s = used_s(groups, before, after)
        cpu_s["postgres"] = with_children_s(after, server) - with_children_s(before, server)
        outcome = await self._load.outcome(order)
        return journey_of(order, outcome, await self._receiver.take(self._folder / "arrivals.json"), cpu_s)

    async def _until_told(self, payments: int) -> None:
        """Wait for every end; raise where none comes any more."""
        ended, moved_at = 0, time.monotonic()
        while (now_ended := await self._receiver.ended()) < payments:
            if now_ended > ended:
                ended, moved_at = now_ended, time.monotonic()
            elif time.monotonic() - moved_at > _STUCK_S_MAX:
                raise RuntimeError(f"{payments - ended} of {payments} payments have no webhook of their end")
            await asyncio.sleep(_LOOK_EVERY_S)


def groups_of(processes: Mapping[str, int]) -> dict[str, set[int]]:
    """All processes but PostgreSQL, those of one kind together (pure)."""
    groups: dict[str, set[int]] = {}
    for name, process_id in processes.items():
        if name == "postgres":
            continue
        kind = name
        if name.endswith("-sidecar"):
            kind = "sidecars"
        elif name.startswith("bank-") or name in ("card-network", "witness"):
            kind = "simulators"
        groups.setdefault(kind, set()).add(process_id)
    return groups


def journey_of(order: Order, outcome: Outcome, arrivals: Arrivals, cpu_s: Mapping[str, float]) -> Journey:
    """What a run came to (pure).

    Raises:
        RuntimeError: Something was refused, not answered, not told or not believed: then there is no figure.
    """
    refused = sum(sent.status != ACCEPTED for sent in outcome.sent)
    untold = sum(sent.payment_id not in arrivals.ended_s for sent in outcome.sent)
    if outcome.failures or refused or outcome.refused_receipts or untold or arrivals.refused:
        raise RuntimeError(
            f"of {order.requests} payments {refused} were refused, {untold} not told,"
            f" {outcome.refused_receipts} receipts and {arrivals.refused} webhooks do not hold,"
            f" {len(outcome.failures)} failed: {'; '.join(outcome.failures[:1])}"
        )
    ends = [(sent, arrivals.ended_s[sent.payment_id]) for sent in outcome.sent]
    took_s = max(end for _, end in ends) - min(sent.due_s for sent, _ in ends)
    return Journey(
        payments=len(ends),
        per_s=len(ends) / took_s,
        ages_s=[end - sent.due_s for sent, end in ends],
        accepted_s=[sent.ended_s - sent.due_s for sent, _ in ends],
        cpu_s=cpu_s,
        deliveries=arrivals.deliveries,
    )


def report_of(journeys: Mapping[str, Journey]) -> Report:
    """The table, the figures and what they are held to (pure)."""
    names = {"at_once": "all at once", "open_loop": f"open loop, {RATE_PER_S}/s", "sustained": "sustained"}
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    for name, found in journeys.items():
        p50_ms, p99_ms = percentiles_ms(found.ages_s)
        _, accepted_p99_ms = percentiles_ms(found.accepted_s)
        figures |= {
            f"{name}_payments_per_s": found.per_s,
            f"{name}_cpu_us": found.cpu_us_whole(),
            f"{name}_p50_ms": p50_ms,
            f"{name}_p99_ms": p99_ms,
            f"{name}_accepted_p99_ms": accepted_p99_ms,
            f"{name}_webhooks_per_payment": found.deliveries / found.payments,
        } | {f"{name}_{process}_us": found.cpu_us(process) for process in found.cpu_s}
        rows.append(
            (
                names[name],
                ", ".join(f"{process} {found.cpu_us(process):.0f}" for process in found.cpu_s),
                f"{found.payments:,}", f"{found.per_s:,.0f}", f"{found.cpu_us_whole():,.0f}",
                f"{found.deliveries / found.payments:.2f}", f"{p50_ms:,.0f}", f"{p99_ms:,.0f}",
                f"{accepted_p99_ms:,.0f}",
            )
        )  # fmt: skip
    columns = (
        "what", "CPU µs a payment", "payments", "per s", "µs whole", "webhooks each", "p50 ms", "p99 ms",
        "202 p99 ms",
    )  # fmt: skip
    return Report("full", _METHOD, columns, rows, figures, TARGETS)


TARGETS: Final = (
    Target("open_loop_payments_per_s", 0.98 * RATE_PER_S),  # The last webhook comes after the last payment.
    Target("open_loop_p99_ms", AGE_MS_MAX, at_most=True),
)


def _tell(name: str) -> None:
    sys.stderr.write(f"full: {name}\n")
