"""What a payment costs beside few and beside many stored ones: processor time, pages, WAL, bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.pipeline_record import PipelineRecord, fresh_record
from tests.bench.pipeline_runs import Run, Setting, run
from tests.bench.report import Report, Target, shown
from tests.integration.postgres_server import PostgresServer

STORED_TARGETS: Final = (
    Target("stored_cpu_ratio", 1.25, at_most=True),
    # A page more is a level of a tree more; a scan would be thousands.
    Target("stored_pages_ratio", 1.25, at_most=True),
    Target("stored_scanned_ratio", 1.25, at_most=True),
)
METHOD: Final = (
    "Payments that ended long ago fill the record as the engine, the gateway's door and the settlement files",
    "leave them. Then others are accepted by the gateway's door, 128 at a time, and one worker brings each",
    "to its success, as in the other parts. CPU is from /proc, for one payment: `accept` is the gateway's",
    "connection, `postgres` are the engine's, `upkeep` is the rest of the server (vacuum, checkpoints, WAL).",
    "Pages are buffers that were looked at, and rows scanned are those read without an index, of all",
    "connections together. Bytes are of what one more payment adds, WAL with its page images.",
)
_COUNTERS: Final = """
select d.blks_hit + d.blks_read as pages, w.wal_bytes::bigint, w.wal_fpi, d.xact_commit as commits,
       t.hot, t.updates, t.scanned
from pg_stat_database d, pg_stat_wal w, (
    select sum(n_tup_hot_upd)::bigint as hot, sum(n_tup_upd)::bigint as updates,
           sum(seq_tup_read)::bigint as scanned from pg_stat_user_tables) t
where d.datname = current_database()
"""
_SIZES: Final = """
select sum(pg_table_size(oid))::bigint as tables, sum(pg_indexes_size(oid))::bigint as indexes
from pg_class where relkind = 'r' and relnamespace::regnamespace::text in ('payments', 'evidence')
"""
_LARGEST: Final = """
select relnamespace::regnamespace || '.' || relname as name, pg_table_size(oid) as own,
       pg_indexes_size(oid) as indexes
from pg_class where relkind = 'r' and relnamespace::regnamespace::text in ('payments', 'evidence')
order by pg_total_relation_size(oid) desc limit 12
"""
_GONE_S_MAX: Final = 20.0
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run beside so many stored payments.

    Attributes:
        stored: How many, before the run.
        run: Its processor times and ages.
        counted: Differences of the server's counters over the run, by name.
        filled: Bytes of tables and indexes that hold the stored payments, densely.
        grown: Bytes that the run added to them.
        largest: Tables with their own and their indexes' bytes, the largest first.
    """

    stored: int
    run: Run
    counted: dict[str, int]
    filled: dict[str, int]
    grown: dict[str, int]
    largest: list[tuple[str, int, int]]

    def each(self, name: str) -> float:
        """One counter for one payment."""
        return self.counted[name] / self.run.payments


async def stored_runs(
    server: PostgresServer, folder: Path, stored: tuple[int, int], payments: tuple[int, int]
) -> tuple[StoredRun, StoredRun]:
    """Run beside few and beside many stored payments, in one database each.

    Args:
        payments: How many warm up, and how many are measured.

    Raises:
        RuntimeError: The record contradicts itself at the end.
    """
    found = []
    for many in stored:
        async with fresh_record(server) as record:
            found.append(await _beside(server, record, folder, many, payments))
    return found[0], found[1]


async def _beside(
    server: PostgresServer, record: PipelineRecord, folder: Path, stored: int, payments: tuple[int, int]
) -> StoredRun:
    await record.fill(stored)
    filled = await _row(record, _SIZES)
    largest = [(row["name"], row["own"], row["indexes"]) for row in await record.owner.fetch(_LARGEST)]
    gateway = await server.connect("gateway", record.database)
    try:
        door = int(await gateway.fetchval("select pg_backend_pid()"))

        async def feed(payments: int) -> Run:
            async def accept(record: PipelineRecord) -> int:
                await record.accept(gateway, payments)
                return payments

            found = await run(server, record, folder, Setting(), accept, backends={"accept": {door}})
            await _until_gone(record)
            return found

        warming, counted = payments
        await feed(warming)
        place = await record.place()
        before, sizes = await _row(record, _COUNTERS), await _row(record, _SIZES)
        found = await feed(counted)
        await gateway.execute("select pg_stat_force_next_flush()")
        after, grown = await _row(record, _COUNTERS), await _row(record, _SIZES)
        # What the run itself asked at its end, which is no payment's cost, once more.
        await record.ages_s(place)
        await record.rate_per_s(place)
        again = await _row(record, _COUNTERS)
    finally:
        await gateway.close()
    if faults := await record.faults():
        raise RuntimeError(f"the record contradicts itself in {faults} ways")
    return StoredRun(
        stored=stored,
        run=found,
        counted={name: after[name] - before[name] - (again[name] - after[name]) for name in after},
        filled=filled,
        grown={name: grown[name] - sizes[name] for name in grown},
        largest=largest,
    )


async def _row(record: PipelineRecord, question: str) -> dict[str, int]:
    await record.owner.execute("select pg_stat_force_next_flush()")
    await record.owner.execute("select pg_stat_clear_snapshot()")
    row = await record.owner.fetchrow(question)
    assert row is not None
    return dict(row)


async def _until_gone(record: PipelineRecord) -> None:
    """A connection tells its counts when it ends at the latest."""
    async with asyncio.timeout(_GONE_S_MAX):
        while await record.engine_backends():  # noqa: ASYNC110 - processes of the server end
            await asyncio.sleep(_LOOK_EVERY_S)


def stored_figures(few: StoredRun, many: StoredRun) -> dict[str, float]:
    """Every figure by its name, and the ratios of many to few (pure)."""
    figures: dict[str, float] = {}
    for name, found in (("few_stored", few), ("many_stored", many)):
        figures |= {f"{name}_{what}": value for what, _, value in _measures(found)}
    for what in ("cpu_us_per_payment", "pages_per_payment", "wal_bytes_per_payment"):
        ratio = figures[f"many_stored_{what}"] / figures[f"few_stored_{what}"]
        figures[f"stored_{what.removesuffix('_per_payment').removesuffix('_us')}_ratio"] = ratio
    # Of none and one it says nothing; small tables may be scanned.
    scanned = [max(found.each("scanned"), 1.0) for found in (few, many)]
    figures["stored_scanned_ratio"] = scanned[1] / scanned[0]
    return figures


def stored_report(few: StoredRun, many: StoredRun) -> Report:
    """The part's own table: a line for each measure, and the largest tables (pure)."""
    rows: list[tuple[str, ...]] = [
        (title, unit(what), shown(before), shown(after), f"{after / before:.2f}" if before else "")
        for (what, title, before), (_, _, after) in zip(_measures(few), _measures(many), strict=True)
    ]
    rows += [
        (name, "bytes, own and indexes", shown(own / many.stored), shown(indexes / many.stored), "")
        for name, own, indexes in many.largest
    ]
    columns = ("what", "of each payment", f"{few.stored:,} stored", f"{many.stored:,} stored", "ratio")
    return Report("pipeline", METHOD, columns, rows, stored_figures(few, many), STORED_TARGETS)


def unit(figure: str) -> str:
    """A figure's unit, as its name says (pure)."""
    return next((word for word in ("µs", "us", "bytes", "ms") if f"_{word}" in figure), "")


def _measures(found: StoredRun) -> Iterator[tuple[str, str, float]]:
    run = found.run
    yield "cpu_us_per_payment", "CPU, all", run.cpu_us_whole()
    for kind in run.cpu_s:
        yield f"{kind}_us_per_payment", f"CPU, {kind}", run.cpu_us(kind)
    yield "payments_per_s", "payments/s", run.per_s
    yield "transactions_per_payment", "commits", found.each("commits")
    yield "pages_per_payment", "pages looked at", found.each("pages")
    yield "scanned_per_payment", "rows scanned", found.each("scanned")
    yield "wal_bytes_per_payment", "WAL", found.each("wal_bytes")
    yield "wal_images_per_payment", "page images in it", found.each("wal_fpi")
    yield "updates_per_payment", "updates", found.each("updates")
    yield "hot_updates_per_payment", "updates without an index", found.each("hot")
    for name in ("tables", "indexes"):
        yield f"grown_{name}_bytes_per_payment", f"{name} grow by", found.grown[name] / run.payments
        yield f"filled_{name}_bytes_per_payment", f"{name}, when dense", found.filled[name] / found.stored
