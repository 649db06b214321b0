"""Accepted payments through engine, banks and record: how many a second, CPU of each, and their ages."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.pipeline_mesh import mesh_run
from tests.bench.pipeline_record import ACCOUNTS, PipelineRecord, fresh_record
from tests.bench.pipeline_runs import Feed, Run, Setting, run
from tests.bench.pipeline_stored import STORED_TARGETS, StoredRun, stored_figures, stored_report, stored_runs
from tests.bench.report import Report, Target
from tests.integration.postgres_server import PostgresServer, running_postgres

RATE_PER_S: Final = 300
_FEED_EVERY_S: Final = 0.01
_MILLISECONDS: Final = 1000
_METHOD: Final = (
    "Accepted collects over 1,000 accounts, each to its success and its credit to its window. Workers are",
    "processes of their own with the product's code; PostgreSQL is real, over TLS with client certificates.",
    "In process: the bank answers within the worker after 0 to 50 ms, and the real fraud rules are evaluated",
    "there, without their store. A rate is by the first and the last success; an age is from the commit of",
    "the acceptance to that of the success. CPU is from /proc, for one payment: on a busy host it says more",
    "than a rate; `postgres` are the engine's backends. One at a time: the same, one event a transaction.",
    "Through the mesh are all processes as ./start runs them, simulators included; the gateway is idle, and",
    "payments are put into the record. There an age ends where the last transaction began, `postgres` is the",
    "whole server, and a commit is anybody's.",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many payments; the small ones end within 50 s on two busy cores."""

    warming: int
    many: int
    one_at_a_time: int
    hot: int
    open_loop_s: int
    counted: int
    stored: tuple[int, int]
    mesh: int


# As the product's server is set up, where it matters here; ages are those of commits.
_SERVER: Final = {
    "track_commit_timestamp": "on",
    "fsync": "on",
    "timezone": "UTC",
    "autovacuum_vacuum_scale_factor": "0.02",
}
FULL: Final = Sizes(1_000, 30_000, 1_000, 10_000, 30, 30_000, (10_000, 1_000_000), 20_000)
QUICK: Final = Sizes(300, 2_000, 60, 600, 3, 1_500, (5_000, 20_000), 600)


PARTS: Final = ("stored",)


def measure(*, quick: bool, only: str | None = None) -> Report:
    """Measure; a quarter of an hour, most of it for storing a million payments.

    Args:
        only: One of PARTS, with its own table; None: everything.
    """
    folder = Path(tempfile.mkdtemp(prefix="countermark-bench-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        sizes = QUICK if quick else FULL
        with running_postgres(**_SERVER) as server:
            if only == "stored":
                return stored_report(*asyncio.run(_stored(server, folder, sizes)))
            runs = asyncio.run(_runs_beside(server, folder, sizes))
            stored = asyncio.run(_stored(server, folder, sizes))
        runs |= {"few_stored": stored[0].run, "many_stored": stored[1].run}
        _tell("through the mesh")
        runs["mesh"] = asyncio.run(mesh_run(folder / "mesh", (batch(sizes.warming), batch(sizes.mesh))))
        return report_of(runs, sizes, stored_figures(*stored))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _runs_beside(server: PostgresServer, folder: Path, sizes: Sizes) -> dict[str, Run]:
    runs: dict[str, Run] = {}
    async with fresh_record(server) as record:
        for name, setting, feed in (
            ("warming", Setting(), batch(sizes.warming)),
            ("one_worker", Setting(), batch(sizes.many)),
            ("two_workers", Setting(workers=2), batch(sizes.many)),
            ("one_at_a_time", Setting(one_at_a_time=True), batch(sizes.one_at_a_time)),
            ("hot_account", Setting(), batch(sizes.hot, accounts=1)),
            ("open_loop", Setting(), open_loop(sizes.open_loop_s)),
        ):
            _tell(name)
            runs[name] = await run(server, record, folder, setting, feed)
        if faults := await record.faults():
            raise RuntimeError(f"the record contradicts itself in {faults} ways")
    del runs["warming"]
    return runs


async def _stored(server: PostgresServer, folder: Path, sizes: Sizes) -> tuple[StoredRun, StoredRun]:
    _tell(f"{sizes.stored[0]:,} and {sizes.stored[1]:,} stored")
    return await stored_runs(server, folder, sizes.stored, (sizes.warming, sizes.counted))


def batch(payments: int, *, accounts: int = ACCOUNTS) -> Feed:
    """All at once."""

    async def feed(record: PipelineRecord) -> int:
        await record.feed(payments, accounts=accounts)
        return payments

    return feed


def open_loop(seconds: int) -> Feed:
    """At an even rate, whether or not earlier ones have ended."""

    async def feed(record: PipelineRecord) -> int:
        begun, fed = time.monotonic(), 0
        while fed < RATE_PER_S * seconds:
            due = min(int((time.monotonic() - begun) * RATE_PER_S), RATE_PER_S * seconds) - fed
            if due:
                await record.feed(due)
                fed += due
            await asyncio.sleep(_FEED_EVERY_S)
        return fed

    return feed


def report_of(runs: dict[str, Run], sizes: Sizes, stored: dict[str, float]) -> Report:
    """The table, the figures and what they are held to (pure).

    Args:
        stored: The figures of the stored part.
    """
    names = {
        "one_worker": "bank in process, 1 worker",
        "two_workers": "bank in process, 2 workers",
        "one_at_a_time": "one at a time",
        "hot_account": "one hot account",
        "open_loop": f"open loop, {RATE_PER_S}/s",
        "few_stored": f"{sizes.stored[0]:,} stored",
        "many_stored": f"{sizes.stored[1]:,} stored",
        "mesh": "through the mesh",
    }
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    for name, found in runs.items():
        p50_ms, p99_ms = percentiles_ms(found.ages_s)
        figures |= {
            f"{name}_payments": float(found.payments),
            f"{name}_payments_per_s": found.per_s,
            f"{name}_cpu_us_per_payment": found.cpu_us_whole(),
            f"{name}_transactions_per_payment": found.transactions / found.payments,
            f"{name}_p50_ms": p50_ms,
            f"{name}_p99_ms": p99_ms,
        } | {f"{name}_{kind}_us_per_payment": found.cpu_us(kind) for kind in found.cpu_s}
        rows.append(
            (
                names[name],
                ", ".join(f"{kind} {found.cpu_us(kind):.0f}" for kind in found.cpu_s),
                f"{found.payments:,}", f"{found.per_s:,.0f}", f"{found.cpu_us_whole():,.0f}",
                f"{found.transactions / found.payments:.3f}", f"{p50_ms:,.0f}", f"{p99_ms:,.0f}",
            )
        )  # fmt: skip
    figures["batch_cpu_ratio"] = (
        figures["one_at_a_time_cpu_us_per_payment"] / figures["one_worker_cpu_us_per_payment"]
    )
    figures |= stored
    columns = (
        "what",
        "CPU µs a payment",
        "payments",
        "per s",
        "µs whole",
        "commits each",
        "p50 ms",
        "p99 ms",
    )
    return Report("pipeline", _METHOD, columns, rows, figures, TARGETS)


TARGETS: Final = (
    Target("one_worker_payments_per_s", 3_000),
    Target("mesh_payments_per_s", 600),
    Target("hot_account_payments_per_s", 300),
    Target("open_loop_p99_ms", 1_000, at_most=True),
    *STORED_TARGETS,
)


def percentiles_ms(ages_s: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile in milliseconds (pure)."""
    cuts = statistics.quantiles(ages_s, n=100, method="inclusive")
    return cuts[49] * _MILLISECONDS, cuts[98] * _MILLISECONDS


def _tell(name: str) -> None:
    sys.stderr.write(f"pipeline: {name}\n")
