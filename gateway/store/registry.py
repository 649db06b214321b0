"""Calls of the functions of the schema `registry`: keys, enrolment tokens, registrations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from gateway.errors import IdempotencyKeyInProgress, KeyScope, NotPermitted, StateConflict
from gateway.store.key_outcomes import key_refusal
from gateway.store.record import connected
from signing import VerifyingKey
from signing.evidence.layout import CHAIN_MAX

# The codes that `registry.register_key` raises, so that a refusal rolls everything back.
_NOT_PERMITTED, _CONFLICT, _CHAIN_TOO_LONG = "CM403", "CM409", "CM412"


@dataclass(frozen=True)
class KnownKey:
    """A registered key and whose it is.

    Attributes:
        key: the public key.
        merchant_id: its owner, for ever.
        home_cell: where the owner's record is.
        api_version: the version pinned for the owner, `YYYY-MM-DD`.
        revoked: true from the revocation on.
        scopes: what the key may do.
    """

    key: VerifyingKey
    merchant_id: str
    home_cell: str
    api_version: str
    revoked: bool
    scopes: frozenset[str]


@dataclass(frozen=True)
class Enrolment:
    """What is stored about an enrolment token; of the secret only its SHA-256."""

    merchant_id: str
    secret_hash: bytes
    expires_at: datetime
    consumed_by: str | None


@dataclass(frozen=True)
class Registration:
    """One registration as it is recorded, evidence included.

    Attributes:
        scope: within which its idempotency key counts.
        token_id: of the enrolment token that is consumed; None for a later key.
        signed_by: the key that signed the request: the new one if it is the first, else the vouching one.
        statement: the registration statement.
        proof: the new key's signature over it.
        request_id: of the request that registers it.
        scopes: what the key may do, sorted.
    """

    scope: str
    key_hash: bytes
    fingerprint: bytes
    response_status: int
    response_body: bytes
    key: VerifyingKey
    merchant_id: str
    at: datetime
    token_id: str | None
    signed_by: str
    statement: bytes
    proof: bytes
    request_head: bytes
    request_base: bytes
    request_signature: bytes
    request_body: bytes
    receipt_base: bytes
    receipt_signature: bytes
    request_id: str
    scopes: Sequence[str]


@dataclass(frozen=True)
class Registered:
    """The answer that holds: of this request, or of the one that it repeats.

    Attributes:
        request_id: of the request that was answered first; None of an old one that did not keep it.
    """

    repeat: bool
    response_status: int
    response_body: bytes
    request_id: str | None


@dataclass(frozen=True)
class ListedKey:
    """One of a merchant's keys, with its history."""

    key: VerifyingKey
    scopes: Sequence[str]
    registered_at: datetime
    revoked_at: datetime | None


class Registry:
    """The registry through one pool of connections. Every call raises `CellUnavailable` while it is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find_keys(self, key_ids: Sequence[str]) -> list[KnownKey]:
        """Return the registered ones of these keys."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch("select * from registry.find_keys($1)", list(key_ids))
        return [
            KnownKey(
                key=VerifyingKey.from_jwk(json.loads(row["jwk"])),
                merchant_id=row["merchant_id"],
                home_cell=row["home_cell"],
                api_version=row["api_version"].isoformat(),
                revoked=row["revoked_at"] is not None,
                scopes=frozenset(row["scopes"]),
            )
            for row in rows
        ]

    async def find_enrolment(self, token_id: str) -> Enrolment | None:
        """Return what is stored about a token."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow("select * from registry.find_enrolment($1)", token_id)
        return None if row is None else Enrolment(*row.values())

    async def find_repeat(self, scope: str, key_hash: bytes, fingerprint: bytes) -> Registered | None:
        """Return the stored answer to the same registration.

        Raises:
            IdempotencyKeyReused: the key was used for another request.
            IdempotencyKeyExpired: it was used so long ago that the answer is gone.
        """
        async with connected(self._pool) as connection:
            row = await connection.fetchrow(
                "select * from registry.find_key_request($1, $2, $3)", scope, key_hash, fingerprint
            )
        return None if row is None else _registered(row)

    async def keys_of(
        self, merchant_id: str, *, after: str | None, before: str | None, rows_max: int
    ) -> list[ListedKey]:
        """Return a page of the merchant's keys.

        Args:
            merchant_id: whose.
            after: the key that the page follows, the newest first.
            before: the key that the page leads to; then the oldest of the page comes last of all, first here.
            rows_max: how many there may be.
        """
        async with connected(self._pool) as connection:
            rows = await connection.fetch(
                "select * from registry.keys_of($1, $2, $3, $4)", merchant_id, after, before, rows_max
            )
        return [_listed(row) for row in rows]

    async def key_of(self, merchant_id: str, key_id: str) -> ListedKey | None:
        """Return one of the merchant's keys; None if it is not theirs."""
        async with connected(self._pool) as connection:
            row = await connection.fetchrow("select * from registry.key_of($1, $2)", merchant_id, key_id)
        return None if row is None else _listed(row)

    async def register(self, registration: Registration) -> Registered:
        """Record a key, consume its token, keep the evidence: all in one transaction, or nothing.

        Raises:
            NotPermitted: the token or the vouching key is not good (any more).
            KeyScope: the vouching key does not have what it gives.
            StateConflict: the key is registered, to whomever, or too many keys vouched one for the other.
            IdempotencyKeyReused, IdempotencyKeyExpired: the idempotency key was used before.
            IdempotencyKeyInProgress: the request that uses it is not answered yet.
        """
        r = registration
        arguments = (
            r.scope, r.key_hash, r.fingerprint, r.response_status, r.response_body, r.key.key_id,
            r.merchant_id, json.dumps(r.key.to_jwk(), separators=(",", ":"), sort_keys=True), r.at,
            r.token_id, r.signed_by, r.statement, r.proof, r.request_head, r.request_base,
            r.request_signature, r.request_body, r.receipt_base, r.receipt_signature,
            r.request_id, list(r.scopes),
        )  # fmt: skip
        places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
        async with connected(self._pool) as connection:
            try:
                row = await connection.fetchrow(f"select * from registry.register_key({places})", *arguments)  # noqa: S608 - the text holds $1, $2, … alone
            except asyncpg.PostgresError as fault:
                if fault.sqlstate == _NOT_PERMITTED and fault.detail == KeyScope.code:
                    raise KeyScope("a key cannot give another one more than it has itself") from None
                if fault.sqlstate == _NOT_PERMITTED:
                    raise NotPermitted("the enrolment token or the vouching key is not good") from None
                if fault.sqlstate == _CHAIN_TOO_LONG:
                    raise StateConflict(
                        f"{CHAIN_MAX} keys vouched one for the other: ask your operator for a new token"
                    ) from None
                if fault.sqlstate == _CONFLICT:
                    raise StateConflict("this key is registered to a merchant, for ever") from None
                raise
        if row is None:  # the row that was in the way has just been forgotten
            raise IdempotencyKeyInProgress("this idempotency key is being forgotten: send the same again")
        return _registered(row)


def _registered(row: asyncpg.Record) -> Registered:
    if row["outcome"] not in {"new", "repeat"}:
        raise key_refusal(row["outcome"])
    return Registered(
        row["outcome"] == "repeat", row["response_status"], row["response_body"], row["request_id"]
    )


def _listed(row: asyncpg.Record) -> ListedKey:
    key = VerifyingKey.from_jwk(json.loads(row["jwk"]))
    return ListedKey(key, row["scopes"], row["registered_at"], row["revoked_at"])
