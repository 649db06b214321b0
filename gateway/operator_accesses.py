"""The operator's view of the access log: a merchant's rows, and whether all rows are what the log says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import click

from gateway.config import OperatorConfig
from gateway.operator_session import EXIT_CODES, EXIT_FAILED, run

ROWS_DEFAULT = 100  # Some screens; --before goes on from the last one.
ROWS_MAX = 1000  # What the record gives at once.
BATCHES_PER_STATEMENT = 200  # 100,000 rows at the most, half a second of hashing, far below the timeout.


@click.command(epilog=EXIT_CODES)
@click.option("--merchant", required=True, help="mer_…")
@click.option("--before", type=click.DateTime(), default=None, help="UTC; rows older than this.")
@click.option("--rows", "rows_max", type=click.IntRange(1, ROWS_MAX), default=ROWS_DEFAULT)
@click.pass_obj
def accesses(config: OperatorConfig, merchant: str, before: datetime | None, rows_max: int) -> None:
    """Print who used a merchant's keys: one JSON object a line, newest first."""
    until = None if before is None else before.replace(tzinfo=UTC)

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> list[asyncpg.Record]:
        statement = "select * from audit.accesses_of($1, $2, $3)"
        return list(await connection.fetch(statement, merchant, until, rows_max))

    for row in run(config, work):
        click.echo(json.dumps({**dict(row), "at": row["at"].isoformat()}))


@click.command("verify-accesses", epilog=EXIT_CODES)
@click.pass_obj
def verify_accesses(config: OperatorConfig) -> None:
    """Compare every row of the access log with the statement of its batch, and look for missing batches.

    Tells how many rows hold, how many their writers had to drop, and how many answers went to nobody proven.
    """

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> Verified:
        found, after = Verified(), ""
        statement = "select * from audit.verify_accesses($1, $2)"
        while batches := await connection.fetch(statement, after, BATCHES_PER_STATEMENT):
            for batch in batches:
                found.add(dict(batch))
            after = batches[-1]["batch"]
        return found

    found = run(config, work)
    faults = [f"the rows of {batch} are not what the log says" for batch in found.broken]
    faults += [f"{count} batches of {writer} are missing" for writer, count in found.missing().items()]
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        sys.exit(EXIT_FAILED)
    told = f"{found.rows} rows, {found.dropped} dropped, {found.unproven} unproven"
    click.echo(f"the accesses hold: {told}")


@dataclass
class Verified:
    """What was found in the batches so far.

    Attributes:
        numbers: of each writer, how many of its batches there are, and the highest number of one.
    """

    rows: int = 0
    dropped: int = 0
    unproven: int = 0
    broken: list[str] = field(default_factory=list)
    numbers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, batch: Mapping[str, Any]) -> None:
        """Count one row of `audit.verify_accesses`."""
        if not batch["holds"]:
            self.broken.append(batch["batch"])
        self.rows += batch["rows"]
        self.dropped += batch["dropped"]
        self.unproven += batch["unproven"]
        writer, _, number = batch["batch"].rpartition("-")
        count, highest = self.numbers.get(writer, (0, 0))
        self.numbers[writer] = (count + 1, max(highest, int(number)))

    def missing(self) -> dict[str, int]:
        """Return how many batches below its highest number each writer lacks, of those that lack any."""
        lacking = {writer: highest - count for writer, (count, highest) in self.numbers.items()}
        return {writer: number for writer, number in lacking.items() if number}
