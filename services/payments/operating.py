"""What people's commands have in common: the own identity, one short session, answers that say what to do.

A command speaks to the record alone, as the role `operator`, under the certificate of the person who runs it;
PostgreSQL tells the engine who that is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

import asyncpg
import click

from services.node.config_file import NodeConfig, PostgresConfig, load_config
from services.node.errors import ConfigError
from services.node.postgres import DATABASE_AWAY, open_pool

EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_AWAY, EXIT_WAITING = 1, 3, 4, 5
EPILOG = (
    "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 configuration, 4 no database, "
    "5 kept, but the engine has not taken it yet."
)
# An account's turn takes milliseconds; an engine that needs longer is busy or away, and nobody need wait.
RESULT_S_MAX = 5.0
LOOK_S = 0.05
# What the functions of reviews say about themselves, in sentences that are ours.
_SENTENCES = (
    asyncpg.UniqueViolationError,
    asyncpg.NoDataFoundError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidParameterValueError,
)
# The codes of `services.payments.machine` that a person can meet.
_REFUSALS = {
    "not_in_review": "somebody else's decision, or the deadline, came first",
    "review_expired": "the deadline has passed",
    "same_person": "the same person cannot decide twice, or approve what he asked for himself",
    "unknown_refund": "there is no such refund",
    "state_conflict": "the payment is not in a state in which this is possible",
    "amount_invalid": "the amount does not fit the payment",
    "refund_exceeds_available": "more than what is left of the payment",
    "refund_id_taken": "another payment has a refund of this id: leave the request id out",
    "already_known": "it has been asked for before",
}

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Result = TypeVar("Result")


class PersonConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The configuration of one person's commands: the own identity, and the record.

    Attributes:
        postgres: The record, with user `operator`.
    """

    postgres: PostgresConfig


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of what a person asked for, and how its subject stands now.

    Attributes:
        result: `applied`, or `refused: <code>`; None while the engine has not taken it.
        approvals: Who has approved the payment so far.
    """

    result: str | None
    subject_id: str
    status: str
    decline_code: str | None
    approvals: list[str]
    deadline: datetime | None

    @property
    def refusal(self) -> str | None:
        """Why the engine refused it, in words; None if it did not."""
        if self.result is None or not self.result.startswith("refused"):
            return None
        code = self.result.partition(": ")[2]
        return f"{_REFUSALS.get(code, 'the engine does not do this')} ({code})"


config_option = click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML written for the person who runs this, run/operator-NAME/config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


def read_config(file: Path) -> PersonConfig:
    """Read a person's configuration, or end the process with a sentence."""
    try:
        return load_config(file, PersonConfig)
    except ConfigError as fault:
        end(str(fault), EXIT_CONFIGURATION)


def in_session(config: PersonConfig, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Do the work over one connection, or end the process with a sentence; nothing is done in part."""

    async def session() -> Result:
        async with (
            open_pool(config, config.postgres, connections_max=1) as pool,
            pool.acquire() as connection,
        ):
            return await work(connection)

    try:
        return asyncio.run(session())
    except _SENTENCES as refusal:
        end(str(refusal), EXIT_REFUSED)
    except DATABASE_AWAY as fault:
        end(f"the database is out of reach ({type(fault).__name__}): is the stack running?", EXIT_AWAY)
    except asyncpg.PostgresError as fault:
        end(f"refused by the database: {type(fault).__name__}", EXIT_REFUSED)


async def result_of(connection: Connection, mail_id: int) -> ActionResult:
    """Wait a moment for the engine to take what was asked for."""
    deadline = time.monotonic() + RESULT_S_MAX
    while True:
        row = await connection.fetchrow("select * from payments.action_result($1)", mail_id)
        assert row is not None
        found = ActionResult(*row)
        if found.result is not None or time.monotonic() > deadline:
            return found
        await asyncio.sleep(LOOK_S)


def end(sentence: str, code: int) -> NoReturn:
    """Say why on standard error, and exit."""
    click.echo(f"services.payments: {sentence}", err=True)
    sys.exit(code)
