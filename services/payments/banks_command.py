"""`python -m services.payments banks list|drain|resume|history`: which banks get new payments."""

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

HISTORY_ROWS_MAX = 100  # A screenful or two; the table itself keeps everything.
# Ids and reasons are there to be copied: a narrow terminal scrolls rather than cuts them.
COLUMNS_MIN = 120
_reason = click.option("--reason", required=True, help="One line; it is kept for ever.")


@click.group(epilog=EPILOG)
@config_option
@click.pass_context
def banks(context: click.Context, config_file: Path) -> None:
    """Which banks get new payments. What a bank has already is never touched by this."""
    context.obj = read_config(config_file)


@banks.command("list", epilog=EPILOG)
@json_option
@click.pass_obj
def list_banks(config: PersonConfig, *, as_json: bool) -> None:
    """List the banks that engines are connected to, and what an operator said last."""

    async def work(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch("select * from payments.bank_controls()")

    _print(in_session(config, work), "banks", "no engine was ever connected to a bank", as_json=as_json)


@banks.command("history", epilog=EPILOG)
@click.argument("bank")
@json_option
@click.pass_obj
def history(config: PersonConfig, bank: str, *, as_json: bool) -> None:
    """List what operators have said about a bank, newest first."""

    async def work(connection: Connection) -> list[asyncpg.Record]:
        statement = "select * from payments.bank_control_history($1, $2)"
        return await connection.fetch(statement, bank, HISTORY_ROWS_MAX)

    _print(in_session(config, work), "history", f"{bank} was never drained", as_json=as_json)


@banks.command("drain", epilog=EPILOG)
@click.argument("bank")
@_reason
@json_option
@click.pass_obj
def drain(config: PersonConfig, bank: str, reason: str, *, as_json: bool) -> None:
    """Keep new payments from a bank. Every engine knows within two seconds."""
    _say(config, "drain", bank, reason, as_json=as_json)


@banks.command("resume", epilog=EPILOG)
@click.argument("bank")
@_reason
@json_option
@click.pass_obj
def resume(config: PersonConfig, bank: str, reason: str, *, as_json: bool) -> None:
    """Let a bank have new payments again."""
    _say(config, "resume", bank, reason, as_json=as_json)


def _say(config: PersonConfig, action: str, bank: str, reason: str, *, as_json: bool) -> None:
    async def work(connection: Connection) -> bool:
        statement = f"select payments.{action}_bank($1, $2)"
        return bool(await connection.fetchval(statement, bank, reason))

    changed = in_session(config, work)
    if as_json:
        facts = {"bank": bank, "drained": action == "drain", "changed": changed, "by": config.name}
        click.echo(json.dumps(facts))
        return
    state = "gets no new payments" if action == "drain" else "gets new payments"
    click.echo(f"{bank} {state}" + ("" if changed else "; it was so already"))


def _print(rows: list[asyncpg.Record], name: str, nothing: str, *, as_json: bool) -> None:
    found = [dict(row) for row in rows]
    if as_json:
        click.echo(json.dumps({name: found}, default=lambda value: value.isoformat()))
        return
    if not found:
        click.echo(nothing)
        return
    table = Table(*found[0])
    for row in found:
        at = "" if row["at"] is None else f"{row['at']:%Y-%m-%d %H:%M:%S} UTC"
        shown = row | {"at": at, "drained": "yes" if row["drained"] else "no"}
        table.add_row(*(str(value or "") for value in shown.values()))
    Console(width=max(Console().width, COLUMNS_MIN)).print(table)
