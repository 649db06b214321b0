"""The closed list of the gateway's own refusals; those of a signature are `signing.errors.RequestRefused`.

Each class has a stable `code`; status and title are in `gateway.api.problems`, nowhere else. The message goes
to the merchant as `detail`: it says what to change and never repeats what was received.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.access.rate import Verdict


class GatewayRefusal(Exception):
    """Refuse a request: nothing of it was kept but the audit record."""

    code: ClassVar[str] = "refused"
    retry_after_s: int | None = None


class MalformedJSON(GatewayRefusal):
    """The body is not JSON in the strict form that is accepted here."""

    code = "malformed_json"


@dataclass(frozen=True)
class FieldFault:
    """One field that is wrong: its JSON pointer (RFC 6901) and what is expected of it."""

    pointer: str
    detail: str


class ValidationFailed(GatewayRefusal):
    """The body is JSON and does not say what this operation needs."""

    code = "validation_failed"

    def __init__(self, message: str, *faults: FieldFault) -> None:
        super().__init__(message)
        self.faults = faults


class CurrencyNotSupported(GatewayRefusal):
    """The merchant has no account in this currency."""

    code = "currency_not_supported"


class IdempotencyKeyReused(GatewayRefusal):
    """The same idempotency key came with another request."""

    code = "idempotency_key_reused"


class IdempotencyKeyInProgress(GatewayRefusal):
    """Another request with this idempotency key is being carried out."""

    code = "idempotency_key_in_progress"
    # The other one has been waited for already; it ends within its statement's time.
    retry_after_s = 1


class IdempotencyKeyExpired(GatewayRefusal):
    """The idempotency key was used so long ago that its answer is gone; it never acts a second time."""

    code = "idempotency_key_expired"


class DuplicateSuspected(GatewayRefusal):
    """The payment looks like an earlier one and came under another idempotency key."""

    code = "duplicate_suspected"

    def __init__(self, message: str, payment_id: str = "") -> None:
        super().__init__(message)
        self.payment_id = payment_id


class RefundExceedsAvailable(GatewayRefusal):
    """Less than this can be given back of the payment."""

    code = "refund_exceeds_available"


class SignatureReplayed(GatewayRefusal):
    """This very GET was seen before; a read is signed anew each time."""

    code = "signature_replayed"


class TokenInvalid(GatewayRefusal):
    """There is no such access token, it has expired, or its key was revoked."""

    code = "token_invalid"


class TokenProofInvalid(GatewayRefusal):
    """The token is not shown by whom it is bound to, for this very request, just now."""

    code = "token_proof_invalid"


class RateLimited(GatewayRefusal):
    """More came from a merchant, or from an address where nobody was recognised, than may.

    Attributes:
        verdict: what was applied, and when asking again can help.
    """

    code = "rate_limited"

    def __init__(self, message: str, verdict: Verdict | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict
        if verdict is not None:
            self.retry_after_s = verdict.retry_after_s


class NotPermitted(GatewayRefusal):
    """The key is good and this is not its to do, or the enrolment token is not."""

    code = "not_permitted"


class KeyScope(GatewayRefusal):
    """The key is good and was not given what this operation needs."""

    code = "key_scope"


class BothCursors(GatewayRefusal):
    """A page was asked for that lies after one item and before another."""

    code = "both_cursors"


class NotFound(GatewayRefusal):
    """There is no such thing for this merchant."""

    code = "not_found"


class MethodNotAllowed(GatewayRefusal):
    """The route exists and has no such method."""

    code = "method_not_allowed"

    def __init__(self, message: str, allowed: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.allowed = allowed


class StateConflict(GatewayRefusal):
    """The thing is in a state that this request does not fit, for example a key already registered."""

    code = "state_conflict"


class StoredRefusal(Exception):
    """A refusal that the record holds for an idempotency key: it is given, byte for byte, to each repeat.

    Attributes:
        code: of one of the refusals above.
        status: of the answer.
        body: the problem document as it was given first.
        original_request_id: the request that was refused first; None if that was not kept.
        is_repeat: whether this is another request than that one.
    """

    def __init__(
        self, code: str, status: int, body: bytes, original_request_id: str | None, *, is_repeat: bool
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.body = body
        self.original_request_id = original_request_id
        self.is_repeat = is_repeat


class EvidencePending(GatewayRefusal):
    """What is asked for has no place in a signed checkpoint yet; it has one within a second."""

    code = "evidence_pending"
    retry_after_s = 1  # Checkpoints follow each other at most this far apart.


class SenderGone(GatewayRefusal):
    """The sender hung up before its request was complete; nobody hears the answer, it is only counted."""

    code = "sender_gone"


class WrongCell(GatewayRefusal):
    """The merchant or the object lives in another cell; nothing is ever proxied there silently."""

    code = "wrong_cell"


class CellUnavailable(GatewayRefusal):
    """The record is out of reach: nothing was decided, or nobody knows; send the same request again."""

    code = "cell_unavailable"
    # The record fails over within seconds, and the launcher restarts it in less.
    retry_after_s = 1
