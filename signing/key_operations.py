"""Operations on the merchant's keys, for the blocking and the awaiting client alike (pure).

A key is replaced by registering another one and revoking it; both sign meanwhile.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Protocol

from . import calls
from .operations import Resource, ResultT
from .registration import registration_statement, sign_possession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .keys import VerifyingKey


class ProvenSigner(Protocol):
    """A key that is about to be registered: it signs, and shows its public half."""

    @property
    def verifying_key(self) -> VerifyingKey: ...

    def sign(self, base: bytes, /) -> bytes: ...


class Keys(Resource[ResultT]):
    """The merchant's keys."""

    def register(
        self,
        new: ProvenSigner,
        *,
        merchant_id: str,
        now: int,
        enrolment_token: str | None = None,
        scopes: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Register a key: it proves that it is held, and a token or this client's key vouches for it.

        Args:
            new: the key to register. With a token it is this client's own, and the merchant's first.
            merchant_id: the owner, as the operator said.
            now: seconds since the epoch, UTC.
            enrolment_token: for a first key; good for one key, once.
            scopes: what a later key may do, at most what this client's may, which is the default.
            idempotency_key: to repeat it with; a repeat needs the same `now`.
        """
        public = new.verifying_key
        statement = registration_statement(merchant_id, public.key_id, public.alg, now)
        proof = sign_possession(statement, _Named(new))
        return self.register_proven(
            public,
            proof,
            issued_at=now,
            enrolment_token=enrolment_token,
            scopes=scopes,
            idempotency_key=idempotency_key,
        )

    def register_proven(
        self,
        public_key: VerifyingKey,
        proof: bytes,
        *,
        issued_at: int,
        enrolment_token: str | None = None,
        scopes: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Register a key with a proof that was made elsewhere, see `sign_possession`."""
        members: dict[str, object] = {
            "public_key": public_key.to_jwk(),
            "proof": base64.b64encode(proof).decode("ascii"),
            "issued_at": issued_at,
        }
        if enrolment_token is not None:
            members["enrolment_token"] = enrolment_token
        if scopes is not None:
            members["scopes"] = [*scopes]
        return self._act("/v1/keys", members, idempotency_key)

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> ResultT:
        """Return a page of the merchant's keys with their scopes and histories, newest first."""
        return self._list(
            "/v1/keys",
            {"limit": limit, "starting_after": starting_after, "ending_before": ending_before},
        )

    def revoke(
        self,
        key_id: str,
        *,
        reason: str | None = None,
        compromised_since: int | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Revoke a key: from then on nothing that it signs is accepted.

        Args:
            key_id: of another key if this client's may manage keys, or its own.
            reason: one line for the key's history.
            compromised_since: seconds since the epoch; an arbiter is told, no verdict changes.
            idempotency_key: to repeat it with; a key that revoked itself cannot repeat it.
        """
        members = {"reason": reason, "compromised_since": compromised_since}
        return self._act(f"{calls.item('keys', key_id)}/revoke", members, idempotency_key)


class _Named:
    """A proven signer with the names that `Signer` has."""

    def __init__(self, key: ProvenSigner) -> None:
        self.alg = key.verifying_key.alg
        self.key_id = key.verifying_key.key_id
        self.sign = key.sign
