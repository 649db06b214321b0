"""Calls of the functions of the schema `registry` about access tokens; of a token only its hash gets here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from gateway.errors import NotPermitted, StateConflict
from gateway.store.record import connected

# Of one key. A dashboard has one and asks for the next before it ends; this many are a hundred dashboards.
LIVE_MAX = 100


@dataclass(frozen=True)
class IssuedToken:
    """What is recorded of a token.

    Attributes:
        key_id: the registered key that asked for it.
        bound_to: the thumbprint of the key whose proofs it needs.
        expires_at: from when on it is good for nothing.
    """

    key_id: str
    bound_to: str
    expires_at: datetime


class Tokens:
    """Access tokens through one pool of connections. Every call raises `CellUnavailable` while it is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def issue(self, token_hash: bytes, token: IssuedToken, *, issued_at: datetime) -> None:
        """Record a token; it is good from now on.

        Raises:
            NotPermitted: the key was revoked meanwhile.
            StateConflict: the key has too many that are good.
        """
        async with connected(self._pool) as connection:
            outcome = await connection.fetchval(
                "select registry.issue_token($1, $2, $3, $4, $5, $6)",
                token_hash, token.key_id, token.bound_to, issued_at, token.expires_at, LIVE_MAX,
            )  # fmt: skip
        if outcome == "too_many":
            raise StateConflict(
                f"this key has {LIVE_MAX} tokens that are good: use them, or wait for minutes"
            )
        if outcome != "issued":
            raise NotPermitted("this key is not good for a token any more")

    async def find(self, token_hash: bytes) -> IssuedToken | None:
        """Return what is recorded of a token, whether or not it has expired."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow("select * from registry.find_token($1)", token_hash)
        return None if row is None else IssuedToken(*row.values())

    async def prune(self, rows_max: int) -> int:
        """Forget some of those that have expired; return how many."""
        async with connected(self._pool) as connection:
            return int(await connection.fetchval("select registry.forget_tokens($1)", rows_max))
