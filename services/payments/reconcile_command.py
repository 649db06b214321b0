"""`python -m services.payments reconcile breaks|close`: where settlement files and the record disagree."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import click
from rich.console import Console
from rich.table import Table

from services.payments.operating import (
    EPILOG,
    Connection,
    PersonConfig,
    config_option,
    in_session,
    json_option,
    read_config,
)

# What a person reads at once; --bank narrows it.
BREAKS_SHOWN_MAX = 1000


@click.group(epilog=EPILOG)
@config_option
@click.pass_context
def reconcile(context: click.Context, config_file: Path) -> None:
    """Breaks between settlement files and the record."""
    context.obj = read_config(config_file)


@reconcile.command("breaks", epilog=EPILOG)
@click.option("--bank", default=None, help="Of this bank alone.")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones too.")
@json_option
@click.pass_obj
def breaks(config: PersonConfig, bank: str | None, *, closed_too: bool, as_json: bool) -> None:
    """List breaks, the newest first."""

    async def work(connection: Connection) -> list[asyncpg.Record]:
        statement = "select * from payments.settlement_breaks($1, $2, $3)"
        return await connection.fetch(statement, bank, closed_too, BREAKS_SHOWN_MAX)

    rows = [dict(row) for row in in_session(config, work)]
    if as_json:
        click.echo(json.dumps({"breaks": rows}, default=lambda value: value.isoformat()))
        return
    if not rows:
        click.echo("every line that was read agrees with the record, or its break is closed")
        return
    table = Table("break", "bank", "line", "kind", "attempt", "booked", "in the file", "since", "closed")
    for row in rows:
        closed = "" if row["closed_at"] is None else f"{row['closed_by']}: {row['reason']}"
        table.add_row(
            str(row["break_id"]), row["bank"], "" if row["line"] is None else str(row["line"]), row["kind"],
            row["attempt_id"], row["expected"], row["found"],
            f"{row['opened_at']:%Y-%m-%d %H:%M} UTC", closed,
        )  # fmt: skip
    # Ids are there to be copied: a narrow terminal scrolls rather than cuts them.
    Console(width=max(Console().width, 180)).print(table)


@reconcile.command("close", epilog=EPILOG)
@click.argument("break_id", metavar="BREAK", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="One line: how it was dealt with; kept for ever.")
@json_option
@click.pass_obj
def close(config: PersonConfig, break_id: int, reason: str, *, as_json: bool) -> None:
    """Close a break that was dealt with elsewhere; nothing moves by it."""

    async def work(connection: Connection) -> None:
        await connection.execute("select payments.close_break($1, $2)", break_id, reason)

    in_session(config, work)
    if as_json:
        click.echo(json.dumps({"break_id": break_id, "closed_by": config.name, "reason": reason}))
    else:
        click.echo(f"break {break_id} is closed by {config.name}")
