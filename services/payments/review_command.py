"""`python -m services.payments review list|approve|reject`: people decide about what is held for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import click
from rich.console import Console
from rich.table import Table

from services.payments.operating import (
    EPILOG,
    EXIT_REFUSED,
    EXIT_WAITING,
    ActionResult,
    Connection,
    PersonConfig,
    config_option,
    end,
    in_session,
    json_option,
    read_config,
    result_of,
)


@click.group(epilog=EPILOG)
@config_option
@click.pass_context
def review(context: click.Context, config_file: Path) -> None:
    """Payments and refunds that wait for a person's decision."""
    context.obj = read_config(config_file)


@review.command("list", epilog=EPILOG)
@json_option
@click.pass_obj
def list_reviews(config: PersonConfig, *, as_json: bool) -> None:
    """List what is in review, the most urgent first."""

    async def work(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch("select * from payments.reviews_open()")

    rows = [dict(row) for row in in_session(config, work)]
    if as_json:
        click.echo(json.dumps({"reviews": rows}, default=lambda value: value.isoformat()))
        return
    if not rows:
        click.echo("nothing waits for a decision")
        return
    table = Table(
        "id",
        "kind",
        "merchant",
        "minor units",
        "why",
        "asked by",
        "until",
        "approved by",
        "decided, not taken",
    )
    for row in rows:
        table.add_row(
            row["subject_id"], row["kind"], row["merchant_id"], f"{row['amount_minor']} {row['currency']}",
            ", ".join(row["reasons"]), row["asked_by"] or "", f"{row['deadline']:%Y-%m-%d %H:%M} UTC",
            ", ".join(row["approvals"]), ", ".join(row["waiting"]),
        )  # fmt: skip
    # Ids are there to be copied: a narrow terminal scrolls rather than cuts them.
    Console(width=max(Console().width, 160)).print(table)


def _decision(name: str, text: str) -> None:
    @review.command(name, help=text, epilog=EPILOG)
    @click.argument("subject_id", metavar="ID")
    @click.option("--reason", required=True, help="One line; it is kept with the decision for ever.")
    @json_option
    @click.pass_obj
    def decide(config: PersonConfig, subject_id: str, reason: str, *, as_json: bool) -> None:
        async def work(connection: Connection) -> ActionResult:
            statement = "select payments.decide_review($1, $2, $3)"
            return await result_of(connection, await connection.fetchval(statement, subject_id, name, reason))

        tell(in_session(config, work), config.name, name, as_json=as_json, sentence=_sentence)


_decision("approve", "Let a payment or a refund go on; above a limit two persons have to.")
_decision("reject", "End a payment or a refund; no bank was ever called.")


def tell(
    found: ActionResult,
    person: str,
    action: str,
    *,
    as_json: bool,
    sentence: Callable[[ActionResult, str, str], str],
) -> None:
    """Print what became of an action, and exit with its code."""
    if as_json:
        facts: dict[str, Any] = {
            "subject_id": found.subject_id,
            "action": action,
            "by": person,
            "result": found.result,
            "status": found.status,
            "decline_code": found.decline_code,
            "approvals": found.approvals,
            "needs_second_approver": _needs_second(found, action),
            "deadline": None if found.deadline is None else found.deadline.isoformat(),
        }
        click.echo(json.dumps(facts))
    if found.result is None:
        end("it is kept; the engine has not taken it yet: look again with `review list`", EXIT_WAITING)
    if found.refusal is not None:
        end(f"{found.subject_id}: {found.refusal}", EXIT_REFUSED)
    if not as_json:
        click.echo(f"{found.subject_id}: {sentence(found, person, action)}")


def _needs_second(found: ActionResult, action: str) -> bool:
    return action == "approve" and found.result == "applied" and found.status == "in_review"


def _sentence(found: ActionResult, person: str, action: str) -> str:
    if _needs_second(found, action):
        until = "" if found.deadline is None else f", until {found.deadline:%Y-%m-%d %H:%M} UTC"
        return f"needs a second approver: another person than {person}{until}"
    code = f" ({found.decline_code})" if found.decline_code else ""
    return f"{'approved' if action == 'approve' else 'rejected'}: it is {found.status}{code} now"
