"""Events from their commit to a subscriber, and webhooks to 100 endpoints beside a client that only posts."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.feed_place import ENDPOINTS, FeedPlace, feed_place
from tests.bench.process_times import all_processes, used_s, with_children_s
from tests.bench.report import Report, Target
from tests.bench.told_process import ToldProcess
from tests.integration.postgres_server import PostgresServer, running_postgres

# 300 payments a second, of which each has about six events.
EVENTS_PER_S: Final = 1_800
_FEED_EVERY_S: Final = 0.01
_WAIT_S_MAX: Final = 300.0
_LOOK_EVERY_S: Final = 0.05
_METHOD: Final = (
    "PostgreSQL and NATS are real, over TLS with client certificates; relay, subscriber, notifications,",
    "receiver and the bare client are processes of their own with the product's code. Events are put into",
    "the record by SQL, of 1,000 merchants. At once: all in one transaction; the rate is from its commit to",
    "the last event. Open loop: 1,800 events/s, as 300 payments/s have; an age is from the event's commit to",
    "the subscriber. Webhooks: all at once, to 100 endpoints of 100 merchants over TLS; each is stored,",
    "claimed, signed, sent and recorded. Bare: an aiohttp client with as many connections that posts as many",
    "bodies to the same server. CPU is from /proc, for one event or webhook; `postgres` is the whole server.",
)
TARGETS: Final = (
    Target("at_once_events_per_s", 3_000),
    Target("open_loop_p99_ms", 250, at_most=True),
    Target("webhooks_to_bare_ratio", 0.5),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many; the small ones end within 50 s on two busy cores."""

    warming: int
    events: int
    open_loop_s: int
    webhooks: int


FULL: Final = Sizes(2_000, 60_000, 30, 20_000)
QUICK: Final = Sizes(500, 6_000, 4, 2_500)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to.

    Attributes:
        items: Events or webhooks.
        per_s: From the first commit, or the first post, to the last arrival.
        cpu_s: By kind of process.
        ages_s: From the commit to the arrival of each event; none where items have no names.
    """

    items: int
    per_s: float
    cpu_s: dict[str, float]
    ages_s: list[float]

    def cpu_us(self, kind: str) -> float:
        """CPU of one kind of process for one item, in microseconds."""
        return self.cpu_s.get(kind, 0.0) / self.items * 1_000_000


Feeding = Callable[[FeedPlace], Awaitable[int]]


def measure(*, quick: bool) -> Report:
    """Measure; about three minutes."""
    folder = Path(tempfile.mkdtemp(prefix="countermark-bench-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        with running_postgres(track_commit_timestamp="on", fsync="on", timezone="UTC") as server:
            server.pki.issue("nats")
            return report_of(asyncio.run(_runs(server, folder, QUICK if quick else FULL)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _runs(server: PostgresServer, folder: Path, sizes: Sizes) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    async with (
        feed_place(server, folder / "events") as place,
        place.process("relay", "payments") as relay,
        place.process("subscriber", "notifications") as taking,
    ):
        kinds = {"relay": {relay.pid}, "subscriber": {taking.pid}, "nats": {place.bus.process_id}}
        await _run(place, taking, kinds, _at_once(sizes.warming))
        _tell("events at once")
        runs["at_once"] = await _run(place, taking, kinds, _at_once(sizes.events))
        _tell("events in an open loop")
        runs["open_loop"] = await _run(place, taking, kinds, _evenly(sizes.open_loop_s))
    async with (
        feed_place(server, folder / "webhooks") as place,
        place.process("receiver", "payments") as receiver,
    ):
        await place.add_endpoints()
        async with (
            place.process("relay", "payments") as relay,
            place.process("notifications", "notifications") as delivering,
        ):
            kinds = {"relay": {relay.pid}, "notifications": {delivering.pid}, "nats": {place.bus.process_id},
                     "receiver": {receiver.pid}}  # fmt: skip
            await _run(place, receiver, kinds, _at_once(sizes.warming, ENDPOINTS))
            _tell("webhooks at once")
            runs["webhooks"] = await _run(place, receiver, kinds, _at_once(sizes.webhooks, ENDPOINTS))
        _tell("only posts")
        runs["bare"] = await _bare(place, receiver, sizes)
    return runs


def _at_once(events: int, accounts: int = 1_000) -> Feeding:
    async def feed(place: FeedPlace) -> int:
        await place.record.feed(events, accounts=accounts)
        return events

    return feed


def _evenly(seconds: int) -> Feeding:
    async def feed(place: FeedPlace) -> int:
        begun, fed = time.monotonic(), 0
        while fed < EVENTS_PER_S * seconds:
            due = min(int((time.monotonic() - begun) * EVENTS_PER_S), EVENTS_PER_S * seconds) - fed
            if due:
                await place.record.feed(due)
                fed += due
            await asyncio.sleep(_FEED_EVERY_S)
        return fed

    return feed


async def _run(place: FeedPlace, counting: ToldProcess, kinds: dict[str, set[int]], feed: Feeding) -> Run:
    """Feed, wait for everything to arrive, and say how old it was then and what it took."""
    from_xid, before = await place.record.place(), all_processes()
    server_before = with_children_s(before, place.server.process_id)
    items = await feed(place)
    await _until(counting, items)
    after = all_processes()
    cpu_s = used_s(kinds, before, after)
    cpu_s["postgres"] = with_children_s(after, place.server.process_id) - server_before
    arrived = await _arrivals(counting, place.folder / "arrivals.json")
    committed = await place.commits_s(from_xid)
    last_s = max(at for _, _, at in arrived)
    ages_s = [at - committed[payment_id] for payment_id, _, at in arrived if payment_id in committed]
    return Run(items, items / (last_s - min(committed.values())), cpu_s, ages_s)


async def _bare(place: FeedPlace, receiver: ToldProcess, sizes: Sizes) -> Run:
    body = await place.a_body()
    async with place.process("bare", "payments", posts=sizes.webhooks, body=body) as bare:
        await bare.say("go")  # Connections are made, as the others' were.
        await bare.expect("done")
        await _arrivals(receiver, place.folder / "arrivals.json")
        before, begun = all_processes(), time.time()
        await bare.say("go")
        await bare.expect("done")
        cpu_s = used_s({"bare": {bare.pid}, "receiver": {receiver.pid}}, before, all_processes())
        arrived = await _arrivals(receiver, place.folder / "arrivals.json")
    return Run(sizes.webhooks, sizes.webhooks / (max(at for _, _, at in arrived) - begun), cpu_s, [])


async def _until(counting: ToldProcess, items: int) -> None:
    async with asyncio.timeout(_WAIT_S_MAX):
        while True:
            await counting.say("count")
            if int(await counting.hear()) >= items:
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def _arrivals(counting: ToldProcess, file: Path) -> list[tuple[str, int, float]]:
    await counting.say(str(file))
    await counting.expect("told")
    return msgspec.json.decode(file.read_bytes(), type=list[tuple[str, int, float]])


def report_of(runs: dict[str, Run]) -> Report:
    """The table, the figures and what they are held to (pure)."""
    names = {
        "at_once": "events, at once",
        "open_loop": f"events, {EVENTS_PER_S:,}/s",
        "webhooks": f"webhooks, {ENDPOINTS} endpoints",
        "bare": "only posts",
    }
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    for name, found in runs.items():
        p50_ms, p99_ms = percentiles_ms(found.ages_s) if found.ages_s else (None, None)
        kind = "events" if name in ("at_once", "open_loop") else "posts"
        figures |= {f"{name}_{kind}": float(found.items), f"{name}_{kind}_per_s": found.per_s}
        figures |= {f"{name}_{who}_us": found.cpu_us(who) for who in found.cpu_s}
        figures[f"{name}_cpu_us"] = sum(found.cpu_us(who) for who in found.cpu_s)
        if p50_ms is not None and p99_ms is not None:
            figures |= {f"{name}_p50_ms": p50_ms, f"{name}_p99_ms": p99_ms}
        rows.append(
            (
                names[name],
                ", ".join(f"{who} {found.cpu_us(who):.0f}" for who in found.cpu_s),
                f"{found.items:,}", f"{found.per_s:,.0f}", f"{figures[f'{name}_cpu_us']:,.0f}",
                "-" if p50_ms is None else f"{p50_ms:,.0f}", "-" if p99_ms is None else f"{p99_ms:,.0f}",
            )
        )  # fmt: skip
    figures["webhooks_to_bare_ratio"] = figures["webhooks_posts_per_s"] / figures["bare_posts_per_s"]
    columns = ("what", "CPU µs each", "how many", "per s", "µs whole", "p50 ms", "p99 ms")
    return Report("feed", _METHOD, columns, rows, figures, TARGETS)


def percentiles_ms(ages_s: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile in milliseconds (pure)."""
    cuts = statistics.quantiles(ages_s, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000


def _tell(name: str) -> None:
    sys.stderr.write(f"feed: {name}\n")
