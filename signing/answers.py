"""What an answer is worth: a result with its receipt, a refusal, or nothing to be believed (pure)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .client_errors import AnswerNotTrusted
from .errors import ReceiptKeyUnknown, ReceiptMissing, ReceiptRefused, ReceiptTimeImplausible
from .explanation import explain, signature_base
from .problem import header, parse_problem
from .receipt import VerifiedReceipt, verify_receipt
from .retries import parse_http_date

if TYPE_CHECKING:
    from .calls import Call
    from .client_errors import Problem
    from .gateway_keys import GatewayKeys
    from .message import Request, Response

ANSWER_S_MAX: Final = 30.0  # one exchange, from the first byte sent to the last one received
_UNCHANGED: Final = 304
_REDIRECTS: Final = range(300, 400)
_REFUSALS: Final = 400
_OUR_FAULTS_END: Final = 500  # from here on the answer is about the gateway's side
_BUSY: Final = frozenset({429, 503})
_ABOUT_TIME: Final = frozenset({"signature_expired", "signature_too_early"})
_IN_PROGRESS: Final = "idempotency_key_in_progress"
# A library or proxy below sent the same read twice; with a fresh nonce it is another read.
_REPLAYED: Final = "signature_replayed"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A request that nothing came back for.

    Attributes:
        reason: for people; holds nothing of the request.
        may_have_arrived: at least a part of the request was sent.
        lasting: asking again cannot help, for example because the certificate is not the gateway's.
    """

    reason: str
    may_have_arrived: bool = False
    lasting: bool = False

    @property
    def retryable(self) -> bool:
        """Tell whether asking again can help."""
        return not self.lasting

    @property
    def retry_after_s(self) -> None:
        """Nobody said how long to wait."""
        return


@dataclass(frozen=True, slots=True)
class Answer:
    """The gateway's result of an operation, proven by its receipt.

    Attributes:
        status: for example 202.
        body: the bytes that the receipt covers.
        idempotency_key: the operation's, to repeat it with; None for a read.
        receipt: the proof; keep it with `receipt.signed.request` to show it later.
    """

    status: int
    body: bytes
    idempotency_key: str | None
    receipt: VerifiedReceipt = field(repr=False)

    @property
    def unchanged(self) -> bool:
        """Whether what was read is as the caller has it: then there is no body."""
        return self.status == _UNCHANGED

    @property
    def data(self) -> dict[str, Any]:
        """The body's JSON object.

        Raises:
            ValueError: the body is no JSON object.
        """
        document = json.loads(self.body.decode("utf-8"))
        if not isinstance(document, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004 - of the content, not of an argument
        return document

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON is what it is
        return self.data[name]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal, and what it is worth.

    Attributes:
        problem: what was said.
        receipt: proves it; None when the answer is unsigned.
        retryable: asking again can help.
        clock_drift_s: how far the gateway's clock is ahead, if the refusal is about time.
        notes: further words for whoever looks at the error.
    """

    problem: Problem
    receipt: VerifiedReceipt | None
    retryable: bool
    clock_drift_s: float | None
    notes: tuple[str, ...]

    @property
    def retry_after_s(self) -> float | None:
        """What the answer asked to wait."""
        return self.problem.retry_after_s

    @property
    def leaves_doubt(self) -> bool:
        """Tell whether the operation may be done nevertheless: somebody failed, or it still goes on."""
        return self.problem.status >= _OUR_FAULTS_END or self.problem.code == _IN_PROGRESS


def judge(
    call: Call, request: Request, response: Response, keys: GatewayKeys, *, now: float
) -> Answer | Refusal | None:
    """Judge an answer.

    Args:
        call: the operation.
        request: as it was sent.
        response: as it was received.
        keys: the gateway's.
        now: seconds since the epoch, UTC.

    Returns:
        The result, the refusal, or None if the receipt's key is none of these, so that it may be worth
        fetching the keys again.

    Raises:
        AnswerNotTrusted: no receipt, a wrong one, or a redirect.
    """
    unchanged = response.status == _UNCHANGED and call.known_sequence is not None
    if response.status in _REDIRECTS and not unchanged:
        raise _not_trusted(call, "redirect_refused", f"a redirect ({response.status}), which is not followed")
    receipt: VerifiedReceipt | None = None
    try:
        receipt = verify_receipt(request, response, keys.find, now=int(now))
    except ReceiptKeyUnknown:
        return None
    except ReceiptMissing as missing:
        # A refusal may be unsigned: the gateway signs for recognised senders, and proxies not at all.
        if response.status < _REFUSALS:
            raise _not_trusted(call, missing.code, str(missing)) from missing
    except ReceiptTimeImplausible as error:
        raise _not_trusted(call, error.code, f"{error}: is this host's clock right?") from error
    except ReceiptRefused as error:
        raise _not_trusted(call, error.code, str(error)) from error
    if receipt is not None and response.status < _REFUSALS:
        # Of an answer that says "unchanged" the type tells what was found: the condition itself is a header
        # field that anybody on the way can change, and the receipt covers this.
        kind = call.unchanged_type if unchanged else call.answer_type
        if header(response, "content-type") != kind:
            raise _not_trusted(call, "answer_type", f"the answer is not of the type {kind}")
        return Answer(response.status, response.body, call.idempotency_key, receipt)
    return _refusal(call, request, response, receipt, now=now)


def unknown_key(call: Call) -> AnswerNotTrusted:
    """Return the error for an answer whose key stays unknown."""
    return _not_trusted(call, ReceiptKeyUnknown.code, "its receipt names a key that is not the gateway's")


def _refusal(
    call: Call, request: Request, response: Response, receipt: VerifiedReceipt | None, *, now: float
) -> Refusal:
    problem = parse_problem(response, now=now)
    drift_s = None
    if problem.code in _ABOUT_TIME:
        sent_at = parse_http_date(header(response, "date"))
        drift_s = None if sent_at is None else sent_at - now
    notes: tuple[str, ...] = ()
    if problem.signature_base is not None:
        notes = (explain(signature_base(request), problem.signature_base),)
    retryable = (
        problem.retryable
        or problem.code == _IN_PROGRESS
        or (problem.code == _REPLAYED and call.method == "GET")
        or problem.code in call.waits_for
        or problem.status in _BUSY
        or (receipt is None and problem.status >= _OUR_FAULTS_END)
    )
    return Refusal(problem, receipt, retryable, drift_s, notes)


def _not_trusted(call: Call, reason: str, text: str) -> AnswerNotTrusted:
    what = (
        ""
        if call.idempotency_key is None
        else (
            f" The operation may have been done: repeat it with the idempotency key {call.idempotency_key}."
        )
    )
    return AnswerNotTrusted(
        f"the answer is not provably the gateway's: {text}.{what}",
        idempotency_key=call.idempotency_key,
        reason=reason,
    )
