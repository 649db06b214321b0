"""The operator's command: enrol merchants, issue tokens, revoke keys, verify the audit chain.

It speaks to the record alone, as the role `operator`, which is bound to the certificate of that name and may
call a handful of functions. A token is shown once, on standard output; only its hash is stored.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import click

from gateway.api.keys import secret_hash
from gateway.api.versions import API_VERSION
from gateway.config import OperatorConfig
from gateway.operator_accesses import accesses, verify_accesses
from gateway.operator_session import EXIT_CODES, EXIT_CONFIGURATION, EXIT_FAILED, run
from services.node.config_file import load_config
from services.node.errors import ConfigError
from services.node.identifiers import RANDOM_BITS, new_id

TOKEN_HOURS_DEFAULT = 24  # An enrolment is one sitting; a day allows for a hand-over between people.
TOKEN_HOURS_MAX = 24 * 7  # A token that lies around longer is a password.
AUDIT_ROWS_PER_SLICE = 5_000  # 0.7 s of hashing on a busy host, far below the statement timeout.
SECRET_BYTES = 32  # 256 bits: nobody guesses it, and a plain hash of it is enough.

REASON = re.compile(r"[ -~]{1,200}")  # It becomes one line of a statement in the log.


@dataclass(frozen=True)
class Enrolled:
    """What an enrolment made; the token is nowhere else."""

    merchant_id: str
    accounts: dict[str, str]
    enrolment_token: str
    expires_at: str
    webhook_endpoint_id: str | None


@click.group(epilog=EXIT_CODES)
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path),
    help="TOML written for the operator's identity.",
)
@click.pass_context
def operator(context: click.Context, config_file: Path) -> None:
    """Enrol merchants, issue tokens, revoke keys, verify the audit chain."""
    try:
        context.obj = load_config(config_file, OperatorConfig)
    except ConfigError as fault:
        click.echo(f"gateway.operator: {fault}", err=True)
        sys.exit(EXIT_CONFIGURATION)


operator.add_command(accesses)
operator.add_command(verify_accesses)


@operator.command(epilog=EXIT_CODES)
@click.option("--name", required=True, help="The merchant's legal name.")
@click.option(
    "--currency",
    "currencies",
    required=True,
    multiple=True,
    help="ISO 4217; one account each; may be repeated.",
)
@click.option("--webhook-url", default=None, help="https URL that is told about every change of a payment.")
@click.option("--token-hours", type=click.IntRange(1, TOKEN_HOURS_MAX), default=TOKEN_HOURS_DEFAULT)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def enrol(
    config: OperatorConfig,
    name: str,
    currencies: tuple[str, ...],
    webhook_url: str | None,
    token_hours: int,
    as_json: bool,
) -> None:
    """Create a merchant with its accounts, and print the one-time token for its first key."""
    for currency in currencies:
        if len(currency) != 3 or not (currency.isascii() and currency.isupper() and currency.isalpha()):  # noqa: PLR2004 - ISO 4217 codes have three letters
            raise click.BadParameter(f"{currency!r} is not three capital letters", param_hint="--currency")
    if webhook_url is not None and not webhook_url.startswith("https://"):
        raise click.BadParameter("webhooks go to https URLs only", param_hint="--webhook-url")

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> Enrolled:
        return await _enrol(connection, config.cell, name, sorted(set(currencies)), webhook_url, token_hours)

    enrolled = run(config, work)
    if as_json:
        click.echo(json.dumps(asdict(enrolled)))
        return
    click.echo(f"merchant         {enrolled.merchant_id}")
    for currency, account_id in enrolled.accounts.items():
        click.echo(f"account {currency}      {account_id}")
    if enrolled.webhook_endpoint_id is not None:
        click.echo(f"webhook          {enrolled.webhook_endpoint_id}")
    click.echo(f"enrolment token  {enrolled.enrolment_token}")
    click.echo(f"valid until      {enrolled.expires_at}, for one key; it is not shown again")


@operator.command(epilog=EXIT_CODES)
@click.option("--merchant", "merchant_id", required=True, help="The merchant's id.")
@click.option("--token-hours", type=click.IntRange(1, TOKEN_HOURS_MAX), default=TOKEN_HOURS_DEFAULT)
@click.pass_obj
def token(config: OperatorConfig, merchant_id: str, token_hours: int) -> None:
    """Issue another one-time token, for a merchant that lost its keys or its token."""

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> str:
        issued, _ = await _issue_token(connection, config.cell, merchant_id, token_hours)
        return issued

    click.echo(run(config, work))


# One key id in 64 begins with a hyphen, and is no option.
@operator.command("revoke-key", epilog=EXIT_CODES, context_settings={"ignore_unknown_options": True})
@click.argument("key_id")
@click.option("--reason", required=True, help="Goes into the key's history and the evidence log: one line.")
@click.option(
    "--compromised-since",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    default=None,
    help="What the owner claims, such as 2026-10-01T08:00:00Z; an arbiter is told, no verdict changes.",
)
@click.pass_obj
def revoke_key(config: OperatorConfig, key_id: str, reason: str, compromised_since: datetime | None) -> None:
    """Revoke a key for ever; from then on nothing is accepted under it."""
    if not REASON.fullmatch(reason):
        raise click.BadParameter("one line of 1 to 200 printable ASCII characters", param_hint="--reason")

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> bool:
        statement = "select registry.revoke_key($1, $2, 'operator', $3, $4)"
        return bool(
            await connection.fetchval(statement, key_id, datetime.now(UTC), reason, compromised_since)
        )

    if not run(config, work):
        click.echo("there is no such key, or it was revoked before", err=True)
        sys.exit(EXIT_FAILED)
    click.echo("revoked")


@operator.command("verify-audit", epilog=EXIT_CODES)
@click.pass_obj
def verify_audit(config: OperatorConfig) -> None:
    """Verify the chain of the audit log from its first row to its last."""

    async def work(connection: asyncpg.pool.PoolConnectionProxy) -> tuple[int | None, int]:
        reached, good_hash = 0, None
        while True:
            statement = "select * from audit.verify_slice($1, $2, $3)"
            part = await connection.fetchrow(statement, reached, good_hash, AUDIT_ROWS_PER_SLICE)
            assert part is not None
            if part["broken"] is not None or part["at_end"]:
                return part["broken"], part["reached"]
            reached, good_hash = part["reached"], part["reached_hash"]
            click.echo(f"{reached} rows hold so far", err=True)

    broken, rows = run(config, work)
    if broken is not None:
        click.echo(f"the chain breaks at row {broken}", err=True)
        sys.exit(EXIT_FAILED)
    click.echo(f"the chain holds: {rows} rows")


async def _enrol(
    connection: asyncpg.pool.PoolConnectionProxy,
    cell: str,
    name: str,
    currencies: list[str],
    webhook_url: str | None,
    token_hours: int,
) -> Enrolled:
    merchant_id = _fresh_id("mer", cell)
    await connection.execute(
        "select registry.create_merchant($1, $2, $3, $4, $5)",
        merchant_id, name, cell, API_VERSION, datetime.now(UTC),
    )  # fmt: skip
    accounts = {currency: _fresh_id("acc", cell) for currency in currencies}
    for currency, account_id in accounts.items():
        await connection.execute(
            "select payments.open_account($1, $2, $3)", account_id, merchant_id, currency
        )
    endpoint_id = None
    if webhook_url is not None:
        endpoint_id = _fresh_id("whe", cell)
        statement = "select notifications.add_endpoint($1, $2, $3)"
        await connection.execute(statement, endpoint_id, merchant_id, webhook_url)
    issued, expires_at = await _issue_token(connection, cell, merchant_id, token_hours)
    return Enrolled(merchant_id, accounts, issued, expires_at.isoformat(timespec="seconds"), endpoint_id)


async def _issue_token(
    connection: asyncpg.pool.PoolConnectionProxy, cell: str, merchant_id: str, token_hours: int
) -> tuple[str, datetime]:
    token_id, secret = _fresh_id("cmet", cell), secrets.token_urlsafe(SECRET_BYTES)
    issued_at = datetime.now(UTC)
    expires_at = issued_at + timedelta(hours=token_hours)
    await connection.execute(
        "select registry.issue_enrolment_token($1, $2, $3, $4, $5)",
        token_id, merchant_id, secret_hash(secret), issued_at, expires_at,
    )  # fmt: skip
    return f"{token_id}.{secret}", expires_at


def _fresh_id(kind: str, cell: str) -> str:
    return new_id(kind, cell, now_ms=int(time.time() * 1000), random_bits=secrets.randbits(RANDOM_BITS))


if __name__ == "__main__":
    operator()
