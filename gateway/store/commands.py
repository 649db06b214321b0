"""Calls of the functions of the schema `commands`: a command once per idempotency key, with its evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from gateway.errors import IdempotencyKeyInProgress, NotFound, StoredRefusal
from gateway.store.key_outcomes import key_refusal
from gateway.store.record import connected
from signing import KeyRevoked

_PERFORM = (
    "select * from commands.perform($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
    " $17, $18::json, $19::json)"
)
# What an effect raises where there is nothing that it could be about; its sentence is for the merchant.
_NOT_FOUND = "CM404"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command as it is recorded; the order of fields is that of the function.

    Attributes:
        resource_id: what the answer is about.
        request_body: None where the evidence must not hold it; the signature base holds its digest.
        effect: a name in `commands.effect`.
        arguments: what the effect takes.
        refusals: for each code with which the effect may refuse, `status` and `body` of the answer, in which
            `"{detail}"` stands for the sentence.
    """

    merchant_id: str
    route: str
    key_hash: bytes
    fingerprint: bytes
    response_status: int
    response_body: bytes
    resource_id: str
    request_id: str
    at: datetime
    key_id: str
    request_head: bytes
    request_base: bytes
    request_signature: bytes
    request_body: bytes | None
    receipt_base: bytes
    receipt_signature: bytes
    effect: str
    arguments: Mapping[str, Any]
    refusals: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Performed:
    """The answer that holds: of this command, or of the one that it repeats.

    Attributes:
        request_id: of the command that was done.
    """

    repeat: bool
    response_status: int
    response_body: bytes
    resource_id: str
    request_id: str


class Commands:
    """The commands through one pool of connections. Every call raises `CellUnavailable` while it is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find_repeat(
        self, merchant_id: str, route: str, key_hash: bytes, fingerprint: bytes
    ) -> Performed | None:
        """Return the stored answer to the same command.

        Raises:
            IdempotencyKeyReused: the key was used for another request.
            IdempotencyKeyExpired: it was used so long ago that the answer is gone.
            StoredRefusal: the same command was refused.
        """
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                "select * from commands.find_repeat($1, $2, $3, $4)",
                merchant_id, route, key_hash, fingerprint,
            )  # fmt: skip
        return None if row is None else _performed(row)

    async def perform(self, command: Command) -> Performed:
        """Do it, once per idempotency key, with its evidence: all in one transaction, or nothing.

        Raises:
            IdempotencyKeyReused, IdempotencyKeyExpired: as above.
            IdempotencyKeyInProgress: another request with this key is not answered yet.
            KeyRevoked: the key that signed was revoked meanwhile.
            StoredRefusal: the effect refused, now or when this command was sent first; that is kept.
            NotFound: there is nothing that the effect could be about; nothing was recorded.
        """
        arguments = [getattr(command, name) for name in Command.__slots__]
        arguments[-2:] = [json.dumps(each, separators=(",", ":")) for each in arguments[-2:]]
        async with connected(self._pool) as connection:
            try:
                row = await connection.fetchrow(_PERFORM, *arguments)
            except asyncpg.PostgresError as fault:
                if fault.sqlstate != _NOT_FOUND:
                    raise
                raise NotFound(fault.args[0]) from None
        if row is None:  # the row that was in the way has just been forgotten
            raise IdempotencyKeyInProgress("this idempotency key is being forgotten: send the same again")
        if row["outcome"] == "revoked":
            raise KeyRevoked("this key was revoked", signature_base=command.request_base)
        return _performed(row)

    async def prune(self, rows_max: int) -> int:
        """Forget old idempotency keys; return how many rows that changed, 0 when there is nothing to do."""
        async with connected(self._pool) as connection:
            return int(await connection.fetchval("select commands.prune($1)", rows_max))


def _performed(row: asyncpg.Record) -> Performed:
    match row["outcome"]:
        case "new" | "refused" | "repeat" as outcome:
            repeat, status, body = outcome == "repeat", row["response_status"], row["response_body"]
            if row["refusal"] is not None:
                raise StoredRefusal(row["refusal"], status, body, row["request_id"], is_repeat=repeat)
            return Performed(repeat, status, body, row["resource_id"], row["request_id"])
        case outcome:
            raise key_refusal(outcome)
