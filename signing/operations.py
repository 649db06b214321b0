"""The gateway's operations by name, for the blocking and the awaiting client alike.

Each method makes one `Call` and hands it to `run`; what comes back is an `Answer`,
or something that is awaited for one. An idempotency key is made where none is given,
once, and is on the answer and on every error: keep your own to survive a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from . import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ResultT = TypeVar("ResultT")
EVIDENCE_WAIT_S_MAX: Final = 60.0  # a checkpoint of the log comes within seconds


class Resource(Generic[ResultT]):
    """Operations on one kind of object."""

    def __init__(self, run: Callable[[calls.Call], ResultT], new_key: Callable[[], str]) -> None:
        self._run = run
        self._new_key = new_key

    def _act(
        self,
        path: str,
        members: Mapping[str, object],
        idempotency_key: str | None,
        *,
        wait_s: int | None = None,
    ) -> ResultT:
        key = self._new_key() if idempotency_key is None else idempotency_key
        return self._run(calls.act(path, members, idempotency_key=key, wait_s=wait_s))

    def _list(self, path: str, query: Mapping[str, calls.Plain | None]) -> ResultT:
        return self._run(calls.read(path, query))


class Payments(Resource[ResultT]):
    """POST and GET of /v1/payments."""

    def create(
        self,
        *,
        kind: Literal["collect", "payout"],
        amount: int,
        currency: str,
        instrument: str,
        merchant_reference: str | None = None,
        capture_method: Literal["automatic", "manual"] | None = None,
        duplicate_policy: Literal["reject", "allow"] | None = None,
        further: Mapping[str, object] | None = None,
        wait_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Make a payment.

        The answer is 202, accepted; or, if the payment came to rest while the gateway waited, 200 with the
        payment. A repeat names the same payment either way.

        Args:
            kind: `collect` takes money in for the merchant, `payout` sends it out.
            amount: in minor units of the currency: 1999 stands for 19.99 EUR.
            currency: ISO 4217, upper case.
            instrument: a token, never a card or account number.
            merchant_reference: the merchant's own name for it.
            capture_method: `manual` authorises a collect; `capture` takes the money later.
            duplicate_policy: `allow` a payment that looks like an earlier one with the same
                merchant_reference; without it such a one is refused as `duplicate_suspected`.
            further: members of the body that this client has no argument for.
            wait_s: how long the gateway should wait for its end, up to 20 seconds.
            idempotency_key: 16 to 64 characters; the same for each repeat of this one payment.
        """
        members = {
            "kind": kind,
            "amount": amount,
            "currency": currency,
            "instrument": instrument,
            "merchant_reference": merchant_reference,
            "capture_method": capture_method,
            "duplicate_policy": duplicate_policy,
            **(further or {}),
        }
        return self._act("/v1/payments", members, idempotency_key, wait_s=wait_s)

    def read(
        self, payment_id: str, *, known_sequence: int | None = None, wait_s: int | None = None
    ) -> ResultT:
        """Return a payment as it is now.

        Args:
            payment_id: which.
            known_sequence: of what the caller has: if it is still so, the answer is `unchanged`, and empty.
            wait_s: how long the gateway should wait until the payment rests, up to 20 seconds.
        """
        path = calls.item("payments", payment_id)
        return self._run(calls.read(path, wait_s=wait_s, known_sequence=known_sequence))

    def attempts(self, payment_id: str) -> ResultT:
        """Return what was tried at banks, oldest first."""
        return self._run(calls.read(f"{calls.item('payments', payment_id)}/attempts"))

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        merchant_reference: str | None = None,
        status: str | None = None,
        created_gte: int | None = None,
        created_lte: int | None = None,
    ) -> ResultT:
        """Return a page of payments, newest first; `has_more` tells whether there is another."""
        return self._list(
            "/v1/payments",
            {
                "limit": limit,
                "starting_after": starting_after,
                "ending_before": ending_before,
                "merchant_reference": merchant_reference,
                "status": status,
                "created_gte": created_gte,
                "created_lte": created_lte,
            },
        )

    def events(self, payment_id: str) -> ResultT:
        """Return what happened to a payment, in order."""
        return self._run(calls.read(f"{calls.item('payments', payment_id)}/events"))

    def capture(
        self, payment_id: str, *, amount: int | None = None, idempotency_key: str | None = None
    ) -> ResultT:
        """Capture an authorised payment, in part if an amount is given."""
        return self._act(f"{calls.item('payments', payment_id)}/capture", {"amount": amount}, idempotency_key)

    def cancel(self, payment_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """Withdraw a payment that was not captured yet."""
        return self._act(f"{calls.item('payments', payment_id)}/cancel", {}, idempotency_key)


class Refunds(Resource[ResultT]):
    """Refunds of payments."""

    def create(
        self,
        payment_id: str,
        *,
        amount: int | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Refund a payment, in part if an amount is given, in minor units; else all that is left of it."""
        path = f"{calls.item('payments', payment_id)}/refunds"
        return self._act(path, {"amount": amount, "reason": reason}, idempotency_key)

    def read(self, refund_id: str) -> ResultT:
        """Return a refund as it is now."""
        return self._run(calls.read(calls.item("refunds", refund_id)))

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        payment_id: str | None = None,
    ) -> ResultT:
        """Return a page of refunds, newest first: all, or those of a payment."""
        query = {
            "limit": limit,
            "starting_after": starting_after,
            "ending_before": ending_before,
            "payment_id": payment_id,
        }
        return self._list("/v1/refunds", query)

    def cancel(self, refund_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """Take back a refund that no bank has yet."""
        return self._act(f"{calls.item('refunds', refund_id)}/cancel", {}, idempotency_key)


class Evidence(Resource[ResultT]):
    """Evidence bundles: what an arbiter needs, checked without a network."""

    def download(self, payment_id: str, *, wait_s_max: float = EVIDENCE_WAIT_S_MAX) -> ResultT:
        """Return a payment's bundle: the bytes of a tar.gz.

        A bundle is complete once the log's next checkpoint is signed. Until then the gateway answers
        `evidence_pending`, and is asked again when it says.

        Args:
            payment_id: the payment.
            wait_s_max: how long to wait for a bundle that is not complete yet.
        """
        return self._run(calls.evidence(payment_id, wait_s_max=wait_s_max))
