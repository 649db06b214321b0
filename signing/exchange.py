"""One operation from its first request to its result, without I/O: what to do next, step by step.

`conduct` yields what must be done (sign, send, sleep) and is sent what came of it;
a blocking and an awaiting client drive the same generator. Each attempt is signed
anew; body and idempotency key stay. No answer is believed without its receipt.
Pure: clock, chance and nonces are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .answers import Answer, NoAnswer, Refusal, judge, unknown_key
from .client_errors import GatewayRefused, GatewayUnreachable, OutcomeUnknown
from .errors import KeyRefused
from .gateway_keys import KEYS_PATH
from .message import Request, Response
from .request_signing import prepare_request
from .retries import Pause, RetryPolicy, decide_retry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .calls import Call
    from .gateway_keys import GatewayKeys
    from .keys import Algorithm

KEYS_BYTES_MAX: Final = 64 * 1024  # what `keys_from_jwks` reads at most
PENDING_PAUSE_S: Final = 1.0  # between two looks at something that is not ready yet, unless told otherwise
# A refusal with one of these says nothing about an earlier attempt of the same operation.
_ABOUT_THE_SENDER: Final = frozenset({401, 403, 429})
_OK: Final = 200
_PASSING: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Sign:
    """Have these bytes signed; the answer is the 64 raw bytes."""

    base: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request over verified TLS, without following redirects; the answer is what came back."""

    request: Request
    answer_bytes_max: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for this many seconds; the answer is None."""

    seconds: float


Step = Sign | Send | Sleep
StepResult = bytes | Response | NoAnswer | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an exchange needs of the world.

    Attributes:
        now: seconds since the epoch, UTC.
        elapsed: seconds on a clock that never jumps.
        chance: random, 0 <= chance < 1.
        nonce: a fresh text of 22 to 64 characters A-Z a-z 0-9 _ -.
    """

    now: Callable[[], float]
    elapsed: Callable[[], float]
    chance: Callable[[], float]
    nonce: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Party:
    """Who speaks with whom.

    Attributes:
        origin: of the gateway, as it is signed.
        key_id: of the merchant's key.
        alg: of the merchant's key.
        keys: of the gateway.
        policy: how often and how long it is asked again.
        surroundings: the world.
    """

    origin: str
    key_id: str
    alg: Algorithm
    keys: GatewayKeys
    policy: RetryPolicy
    surroundings: Surroundings


@dataclass(slots=True)
class _Attempts:
    """What was tried so far."""

    begun: float
    count: int = 0
    may_have_arrived: bool = False
    last: NoAnswer | Refusal = field(default_factory=lambda: NoAnswer("nothing was sent"))


def conduct(call: Call, party: Party) -> Generator[Step, StepResult, Answer]:
    """Bring one operation to its end.

    Raises:
        UnsignableRequest: the gateway would refuse it; nothing was sent.
        GatewayRefused: it was refused.
        OutcomeUnknown: nothing believable came within the retries.
        AnswerNotTrusted: an answer came that is not provably the gateway's.
    """
    world = party.surroundings
    unsigned = Request(call.method, party.origin + call.path, call.headers, call.body)
    attempts = _Attempts(begun=world.elapsed())
    while True:
        if party.keys.are_due(world.elapsed()):
            yield from _fetch_keys(call, party, attempts)
        attempts.count += 1
        prepared = prepare_request(
            unsigned, key_id=party.key_id, alg=party.alg, now=int(world.now()), nonce=world.nonce()
        )
        signature = yield from _have_signed(prepared.signature_base, call, attempts)
        request = unsigned.with_headers(prepared.attach(signature))
        got = yield Send(request, call.answer_bytes_max)
        if isinstance(got, NoAnswer):
            attempts.may_have_arrived |= got.may_have_arrived
            attempts.last = got
        else:
            assert isinstance(got, Response)
            judged = judge(call, request, got, party.keys, now=world.now())
            attempts.may_have_arrived |= judged is None
            if judged is None and party.keys.may_be_outdated(world.elapsed()):
                yield from _fetch_keys(call, party, attempts)
                judged = judge(call, request, got, party.keys, now=world.now())
            if isinstance(judged, Answer):
                return judged
            if judged is None:
                raise unknown_key(call)
            attempts.last = judged
            attempts.may_have_arrived |= judged.leaves_doubt
        yield from _pause_or_end(call, party, attempts)


def _have_signed(base: bytes, call: Call, attempts: _Attempts) -> Generator[Step, StepResult, bytes]:
    try:
        signature = yield Sign(base)
    except Exception as error:
        # A key service that goes away between two attempts must not hide what the first may have done.
        if call.idempotency_key is None or not attempts.may_have_arrived:
            raise
        raise OutcomeUnknown(
            "the operation may have been done, and the key could not sign a repeat; to repeat it, use the "
            f"idempotency key {call.idempotency_key} and the same arguments",
            idempotency_key=call.idempotency_key,
        ) from error
    assert isinstance(signature, bytes)
    return signature


def _pause_or_end(call: Call, party: Party, attempts: _Attempts) -> Generator[Step, StepResult, None]:
    """Wait before the next attempt, or raise what the attempts came to."""
    last, policy, attempt = attempts.last, party.policy, attempts.count
    retry_after_s = last.retry_after_s
    if isinstance(last, Refusal) and last.problem.code in call.waits_for:
        # Not a failure: there is nothing to back off from, only a time by which to have waited enough.
        retry_after_s, attempt = max(PENDING_PAUSE_S, retry_after_s or 0.0), 1
        policy = RetryPolicy(
            policy.attempts_max + 1, call.wait_s_max or 0.0, policy.first_pause_s, policy.pause_s_max
        )
    decided = decide_retry(
        policy,
        attempt=attempt,
        elapsed_s=party.surroundings.elapsed() - attempts.begun,
        retryable=last.retryable,
        retry_after_s=retry_after_s,
        chance=party.surroundings.chance(),
    )
    if not isinstance(decided, Pause):
        _end(call, attempts, decided.reason)
    else:
        yield Sleep(decided.seconds)


def _end(call: Call, attempts: _Attempts, reason: str) -> None:
    """Raise what is known when no more is tried."""
    last, key = attempts.last, call.idempotency_key
    doubt = key is not None and attempts.may_have_arrived
    repeat = "" if key is None else f"; to repeat it, use the idempotency key {key} and the same arguments"
    if isinstance(last, NoAnswer):
        text = f"{last.reason} ({reason}){repeat}"
        if doubt:
            raise OutcomeUnknown(f"the operation may have been done: {text}", idempotency_key=key)
        if attempts.may_have_arrived:
            raise OutcomeUnknown(
                f"the read got no answer: {text}", idempotency_key=None, lasting=last.lasting
            )
        raise GatewayUnreachable(f"nothing was sent: {text}", idempotency_key=key, lasting=last.lasting)
    refused = GatewayRefused(
        last.problem,
        idempotency_key=key,
        receipt=last.receipt,
        clock_drift_s=last.clock_drift_s,
    )
    for note in last.notes:
        refused.add_note(note)
    speaks_of_the_operation = last.receipt is not None and last.problem.status not in _ABOUT_THE_SENDER
    if doubt and (last.leaves_doubt or not speaks_of_the_operation):
        raise OutcomeUnknown(
            f"the operation may have been done; the last answer was {refused} ({reason}){repeat}",
            idempotency_key=key,
        ) from refused
    raise refused


def _fetch_keys(call: Call, party: Party, attempts: _Attempts) -> Generator[Step, StepResult, None]:
    """Learn the gateway's keys, with the operation's own retries."""
    headers = (("Accept", "application/jwk-set+json, application/json"), ("Accept-Encoding", "identity"))
    request = Request("GET", party.origin + KEYS_PATH, headers, None)
    while True:
        got = yield Send(request, KEYS_BYTES_MAX)
        if isinstance(got, Response) and got.status == _OK:
            try:
                party.keys.learn(got.body, party.surroundings.elapsed())
            except KeyRefused as error:
                kind = OutcomeUnknown if attempts.may_have_arrived else GatewayUnreachable
                raise kind(
                    f"the gateway's keys cannot be used, so that no receipt could be verified: {error}",
                    idempotency_key=call.idempotency_key,
                ) from error
            return
        attempts.count += 1
        if isinstance(got, NoAnswer):
            attempts.last = NoAnswer(
                f"the gateway's keys: {got.reason}", may_have_arrived=False, lasting=got.lasting
            )
        else:
            assert isinstance(got, Response)
            attempts.last = NoAnswer(
                f"the gateway's keys were answered with {got.status}", lasting=got.status not in _PASSING
            )
        yield from _pause_or_end(call, party, attempts)
