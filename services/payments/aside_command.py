"""`python -m services.payments aside list`: what the engine could not decide or write, and passes over."""

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

# What a person reads at once; the longest set aside come first.
ROWS_MAX = 200
# Ids and problems are there to be copied: a narrow terminal scrolls rather than cuts them.
COLUMNS_MIN = 160


@click.group(epilog=EPILOG)
@config_option
@click.pass_context
def aside(context: click.Context, config_file: Path) -> None:
    """Payments that are passed over, because something about them cannot be decided or written."""
    context.obj = read_config(config_file)


@aside.command("list", epilog=EPILOG)
@json_option
@click.pass_obj
def list_asides(config: PersonConfig, *, as_json: bool) -> None:
    """List them. Each is tried again at the time shown, by whichever engine; nobody has to ask for that."""

    async def work(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch("select * from payments.asides($1)", ROWS_MAX)

    rows = [dict(row) for row in in_session(config, work)]
    if as_json:
        click.echo(json.dumps({"set_aside": rows}, default=lambda value: value.isoformat()))
        return
    if not rows:
        click.echo("nothing is set aside")
        return
    table = Table("payment", "merchant", "status", "since", "times", "tried again", "problem")
    for row in rows:
        table.add_row(
            row["payment_id"], row["merchant_id"], row["status"], f"{row['since']:%Y-%m-%d %H:%M:%S} UTC",
            str(row["times"]), f"{row['until']:%Y-%m-%d %H:%M:%S} UTC", row["problem"],
        )  # fmt: skip
    Console(width=max(Console().width, COLUMNS_MIN)).print(table)
