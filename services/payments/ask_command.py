"""`python -m services.payments ask capture|void|refund`: customer service acts on behalf of a merchant."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Literal

import click

from services.node.identifiers import RANDOM_BITS, new_id
from services.payments.operating import (
    EPILOG,
    ActionResult,
    Connection,
    PersonConfig,
    config_option,
    in_session,
    json_option,
    read_config,
    result_of,
)
from services.payments.review_command import tell

_AMOUNT = click.IntRange(min=1, max=999_999_999_999)  # As the database bounds it.
_reason = click.option("--reason", required=True, help="One line; it is kept for ever.")
_request_id = click.option(
    "--request-id",
    default=None,
    help="Repeat an earlier request under its id: it is done once. A refund's id is ref_….",
)


@click.group(epilog=EPILOG)
@config_option
@click.pass_context
def ask(context: click.Context, config_file: Path) -> None:
    """Capture, void or refund a payment on behalf of its merchant."""
    context.obj = read_config(config_file)


@ask.command("capture", epilog=EPILOG)
@click.argument("payment")
@click.option("--amount-minor", type=_AMOUNT, default=None, help="Less than the whole; the rest is released.")
@_reason
@_request_id
@json_option
@click.pass_obj
def capture(
    config: PersonConfig,
    payment: str,
    amount_minor: int | None,
    reason: str,
    request_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Capture an authorised payment, once."""
    _ask(config, "capture", payment, amount_minor, reason, request_id, as_json=as_json)


@ask.command("void", epilog=EPILOG)
@click.argument("payment")
@_reason
@_request_id
@json_option
@click.pass_obj
def void(config: PersonConfig, payment: str, reason: str, request_id: str | None, *, as_json: bool) -> None:
    """Withdraw a payment that no bank has yet, or void an authorised one."""
    _ask(config, "void", payment, None, reason, request_id, as_json=as_json)


@ask.command("refund", epilog=EPILOG)
@click.argument("payment")
@click.option("--amount-minor", type=_AMOUNT, required=True, help="Minor units of the payment's currency.")
@_reason
@_request_id
@json_option
@click.pass_obj
def refund(
    config: PersonConfig,
    payment: str,
    amount_minor: int,
    reason: str,
    request_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Give money back; above a limit another person has to approve it."""
    _ask(config, "refund", payment, amount_minor, reason, request_id, as_json=as_json)


def _ask(
    config: PersonConfig,
    action: Literal["capture", "void", "refund"],
    payment: str,
    amount_minor: int | None,
    reason: str,
    request_id: str | None,
    *,
    as_json: bool,
) -> None:
    request = request_id or new_id(
        "ref" if action == "refund" else "ask",
        config.cell,
        now_ms=int(time.time() * 1000),
        random_bits=secrets.randbits(RANDOM_BITS),
    )

    async def work(connection: Connection) -> ActionResult:
        statement = "select payments.ask($1, $2, $3, $4, $5)"
        mail_id = await connection.fetchval(statement, action, payment, request, amount_minor, reason)
        return await result_of(connection, mail_id)

    # Said before anything is sent: whoever is cut off repeats it under this name.
    click.echo(f"services.payments: request {request}", err=True)
    tell(in_session(config, work), config.name, action, as_json=as_json, sentence=_sentence)


def _sentence(found: ActionResult, person: str, action: str) -> str:
    if action == "refund" and found.status == "in_review":
        return f"needs an approval by another person than {person}, with `review approve {found.subject_id}`"
    code = f" ({found.decline_code})" if found.decline_code else ""
    return f"{action} was taken: it is {found.status}{code} now"
