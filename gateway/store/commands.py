"""Calls of the functions of the schema `commands`: a command once per idempotency key, with its evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from gateway.errors import IdempotencyKeyReused, NotFound, NotPermitted, StateConflict
from gateway.store.record import connected
from services.node.crash_points import reach
from signing import KeyRevoked

_PERFORM = (
    "select * from commands.perform($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
    " $17, $18::json)"
)
# What an effect raises when it refuses; its sentence is for the merchant.
_REFUSALS = {"CM403": NotPermitted, "CM404": NotFound, "CM409": StateConflict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command as it is recorded; the order of fields is that of the function.

    Attributes:
        resource_id: what the answer is about.
        request_body: None where the evidence must not hold it; the signature base holds its digest.
        effect: a name in `commands.effect`.
        arguments: what the effect takes.
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


@dataclass(frozen=True, slots=True)
class Performed:
    """The answer that holds: of this command, or of the one that it repeats."""

    repeat: bool
    response_status: int
    response_body: bytes
    resource_id: str


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
        """
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                "select * from commands.find_repeat($1, $2, $3)", merchant_id, route, key_hash
            )
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise IdempotencyKeyReused("this idempotency key was used for another request: take a new one")
        return Performed(True, row["response_status"], row["response_body"], row["resource_id"])

    async def perform(self, command: Command) -> Performed:
        """Do it, once per idempotency key, with its evidence: all in one transaction, or nothing.

        Raises:
            IdempotencyKeyReused: the key was used for another request.
            KeyRevoked: the key that signed was revoked meanwhile.
            NotFound, NotPermitted, StateConflict: the effect refused; nothing was recorded.
        """
        arguments = [getattr(command, name) for name in Command.__slots__]
        arguments[-1] = json.dumps(command.arguments, separators=(",", ":"))
        async with connected(self._pool) as connection:
            try:
                row = await connection.fetchrow(_PERFORM, *arguments)
            except asyncpg.PostgresError as fault:
                refusal = _REFUSALS.get(fault.sqlstate or "")
                if refusal is None:
                    raise
                raise refusal(fault.args[0]) from None
        reach("gateway.command_committed")
        if row is None or row["outcome"] == "mismatch":
            raise IdempotencyKeyReused("this idempotency key was used for another request: take a new one")
        if row["outcome"] == "revoked":
            raise KeyRevoked("this key was revoked", signature_base=command.request_base)
        repeat = row["outcome"] == "repeat"
        return Performed(repeat, row["response_status"], row["response_body"], row["resource_id"])
