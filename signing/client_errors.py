"""The closed list, continued: what can go wrong on the merchant's side of an exchange.

A refusal says what the gateway decided; an unknown outcome says that nothing is
known, and how to find out. Neither ever invents a new idempotency key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import SigningError, WebhookRefused, WebhookSignatureInvalid

if TYPE_CHECKING:
    from .receipt import VerifiedReceipt


class RemoteSignatureInvalid(SigningError):
    """A key service answered with something that is no signature by its own key; nothing was sent."""

    code = "remote_signature_invalid"


class WebhookBodyNotRaw(WebhookRefused, TypeError):
    """The body was given as a text or a parsed object, not as the bytes that were received."""

    code = "webhook_body_not_raw"


class WebhookBodyReserialised(WebhookSignatureInvalid):
    """The body was parsed and written anew before it was verified: its bytes are not the signed ones."""

    code = "webhook_body_reserialised"


class RedirectRefused(SigningError):
    """The answer is a redirect. The gateway sends none, and a signature fits no other address."""

    code = "redirect_refused"


class ExchangeFailed(SigningError):
    """An exchange with the gateway did not end with a result.

    Attributes:
        idempotency_key: the operation's key, to repeat it with; None for a read.
    """

    code = "exchange_failed"
    idempotency_key: str | None

    def __init__(self, message: str, *, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class OutcomeUnknown(ExchangeFailed):
    """No believable answer came within the retries: the operation may or may not have been done.

    Repeating it with the same idempotency key and the same arguments is safe, and tells.

    Attributes:
        lasting: nobody but whoever set things up can help, for example because the certificate is another's.
    """

    code = "outcome_unknown"

    def __init__(self, message: str, *, idempotency_key: str | None, lasting: bool = False) -> None:
        super().__init__(message, idempotency_key=idempotency_key)
        self.lasting = lasting


class GatewayUnreachable(OutcomeUnknown):
    """No connection to the gateway could be made, so that nothing was sent."""

    code = "gateway_unreachable"


class AnswerNotTrusted(ExchangeFailed):
    """An answer came that is not provably the gateway's: no receipt, a wrong one, or a redirect.

    The receipt's own refusal is the `__cause__`. What the answer says is not shown.

    Attributes:
        reason: the code of the receipt's refusal, for example `receipt_missing`.
    """

    code = "answer_not_trusted"
    reason: str

    def __init__(self, message: str, *, idempotency_key: str | None, reason: str) -> None:
        super().__init__(message, idempotency_key=idempotency_key)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal as the gateway wrote it (RFC 9457).

    Attributes:
        code: stable; `unreadable` if the answer was no problem document.
        status: the HTTP status.
        title: the same for each refusal of this code.
        detail: about this request; may be empty.
        retryable: the same request may succeed later.
        request_id: the name under which the gateway's operators find it; may be empty.
        retry_after_s: how long to wait, if the answer says so.
        errors: JSON pointer and fault of each wrong field.
        signature_base: of a 401, what the gateway built from what it received.
    """

    code: str
    status: int
    title: str
    detail: str
    retryable: bool
    request_id: str
    retry_after_s: float | None
    errors: tuple[tuple[str, str], ...]
    signature_base: bytes | None


class GatewayRefused(ExchangeFailed):
    """The gateway refused the operation.

    Attributes:
        problem: what it said.
        receipt: proves that it said so; None for a refusal of an unrecognised sender, which is unsigned.
        clock_drift_s: how far the gateway's clock is ahead of ours, if the refusal is about time.
    """

    code = "gateway_refused"
    problem: Problem
    receipt: VerifiedReceipt | None
    clock_drift_s: float | None

    def __init__(
        self,
        problem: Problem,
        *,
        idempotency_key: str | None,
        receipt: VerifiedReceipt | None,
        clock_drift_s: float | None = None,
    ) -> None:
        text = f"{problem.status} {problem.code}: {problem.detail or problem.title}"
        if problem.errors:
            text += " (" + "; ".join(f"{pointer or '/'}: {fault}" for pointer, fault in problem.errors) + ")"
        if clock_drift_s is not None:
            where = "behind" if clock_drift_s > 0 else "ahead of"
            text += f"; this host's clock is {abs(clock_drift_s):.0f} s {where} the gateway's: set it"
        if receipt is None and idempotency_key is not None:
            text += f" (unsigned: if in doubt, repeat it with the same idempotency key {idempotency_key})"
        super().__init__(text, idempotency_key=idempotency_key)
        self.problem = problem
        self.receipt = receipt
        self.clock_drift_s = clock_drift_s

    @property
    def problem_code(self) -> str:
        """The stable code of the refusal, for example `idempotency_key_reused`."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def title(self) -> str:
        """The refusal in words that never change."""
        return self.problem.title

    @property
    def detail(self) -> str:
        """What was wrong with this request."""
        return self.problem.detail

    @property
    def retryable(self) -> bool:
        """Tell whether the same request may succeed later."""
        return self.problem.retryable

    @property
    def request_id(self) -> str:
        """The name under which the gateway's operators find it."""
        return self.problem.request_id

    @property
    def signature_base(self) -> bytes | None:
        """Of a 401, what the gateway built from what it received: see `explain`."""
        return self.problem.signature_base
