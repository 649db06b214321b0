"""Planted bugs about attempts: what a bank is asked, and what its answers are taken for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import count
from typing import Any
from unittest.mock import patch

import msgspec

from services.banks import messages
from services.banks.messages import AttemptAnswer
from services.payments import outcomes
from services.payments.machine import answers, attempts, bank_words, capture, case, late, payment, refund
from services.payments.machine.errors import Refused
from services.payments.machine.events import Answered, BankTold, Order
from services.payments.machine.model import Attempt, derived_id
from tests.simulation.mutants import decides, mutant, together
from tests.simulation.sim_bank import SimBank

Patch = AbstractContextManager[Any]
_undecided = answers._undecided
_answered = answers.answered


@mutant("each retry goes to the bank under a new idempotency key")
def new_bank_key_per_retry() -> Patch:
    send, numbers = SimBank.send, count()

    async def send_anew(self: SimBank, attempt: messages.Attempt) -> AttemptAnswer:
        key = f"{attempt.attempt_id}-{next(numbers)}"
        answer = await send(self, msgspec.structs.replace(attempt, attempt_id=key))
        return msgspec.structs.replace(answer, attempt_id=attempt.attempt_id)

    return patch.object(SimBank, "send", send_anew)


@mutant("a missing answer counts as a decline")
def timeout_is_a_decline() -> Patch:
    def answered(one: case.Case, event: Answered) -> None:
        if event.kind == "unknown":
            event = msgspec.structs.replace(event, kind="declined", decline_code="timeout")
        _answered(one, event)

    return _answers_by(answered)


@mutant("while the first bank's answer is unknown, another bank is tried")
def failover_while_unknown() -> Patch:
    def undecided(one: case.Case, attempt: Attempt, event: Answered) -> None:
        choice = payment.elsewhere(one) if attempt.operation in attempts.MONEY_OPERATIONS else None
        if event.kind == "unknown" and choice is not None:
            one.put_attempt(attempts.decided(attempt, "not_processed"))
            payment.submit_to(one, choice)
        else:
            _undecided(one, attempt, event)

    return patch.object(answers, "_undecided", undecided)


@mutant("nothing is known of earlier leases: an old one's answer counts, a new one begins anew")
def no_fencing() -> Patch:
    """Without the second half the first alone does harm in one world of two thousand.

    What a worker that lost its lease may have sent is kept as `unknown`, which no late `unsent` undoes.
    """

    def answered(one: case.Case, event: Answered) -> None:
        attempt = one.attempt(event.attempt_id)
        assert attempt is not None
        _answered(one, msgspec.structs.replace(event, epoch=attempt.epoch))

    leased = attempts.leased

    def take(attempt: Attempt) -> Attempt:
        return msgspec.structs.replace(leased(attempt), state="sending")

    return together(_answers_by(answered), patch.object(attempts, "leased", take))


@mutant("a call that never left makes an attempt that was sent before count as never sent")
def unsent_forgets_what_was_sent() -> Patch:
    not_sent = attempts.not_sent
    return patch.object(
        attempts, "not_sent", lambda attempt: msgspec.structs.replace(not_sent(attempt), state="intent")
    )


@mutant("a lease that ran out says that nothing was sent")
def lost_lease_means_unsent() -> Patch:
    leased = attempts.leased

    def take(attempt: Attempt) -> Attempt:
        state = "sending" if attempt.state == "sending" else leased(attempt).state
        return msgspec.structs.replace(leased(attempt), state=state)

    return patch.object(attempts, "leased", take)


@mutant("'not found' counts as 'not processed', whichever bank says so")
def not_found_is_final_everywhere() -> Patch:
    return patch.object(attempts, "is_never_processed", lambda attempt, *_: attempt.not_founds >= 1)


@mutant("'not found' is believed the first time, from banks whose contract makes it final after a while")
def not_found_once_is_enough() -> Patch:
    return patch.object(
        attempts, "is_never_processed",
        lambda attempt, routes, *_: attempt.not_founds >= 1 and routes.is_not_found_final(attempt.bank),
    )  # fmt: skip


@mutant("payment, amount and currency of an answer are not compared with the request")
def answer_is_not_checked() -> Patch:
    def believe(order: Order, answer: AttemptAnswer) -> outcomes.Heard:
        kind = "confirmed" if answer.outcome == "confirmed" else "declined"
        return outcomes.Heard(outcomes.heard_as(
            order, kind, bank_reference=answer.bank_reference, decline_code=answer.decline_code,  # type: ignore[arg-type]
        ))  # fmt: skip

    return patch.object(outcomes, "_believe", believe)


@mutant("which attempt an answer is about is not looked at: it is the last one's")
def answer_goes_to_the_last_attempt() -> Patch:
    def answered(one: case.Case, event: Answered) -> None:
        last = one.row.attempts[-1]
        _answered(one, msgspec.structs.replace(event, attempt_id=last.attempt_id, epoch=last.epoch))

    return _answers_by(answered)


@mutant("a bank's late answer overwrites how a payment has ended")
def terminal_overwritten() -> Patch:
    def succeeded(one: case.Case, attempt: Attempt, reference: str | None) -> None:
        one.change(status="submitted", decline_code=None)
        payment.confirmed(one, attempts.decided(attempt, "confirmed", reference))

    return patch.object(late, "succeeded", succeeded)


@mutant("what a bank charged after its decline is not given back")
def no_compensation() -> Patch:
    return patch.object(refund, "compensate", lambda *_: None)


@mutant("a refund that bounced is not noticed")
def bounce_ignored() -> Patch:
    return patch.object(refund, "bounced", lambda *_: None)


@mutant("a payment is canceled although its bank may have it")
def withdrawn_while_sent() -> Patch:
    void_asked = capture.void_asked

    def withdraw(one: case.Case, event: Any) -> None:
        if one.row.status in ("submitted", "unknown"):
            one.put_attempt(attempts.decided(one.row.attempts[-1], "not_processed"))
            payment.withdraw(one, event.by)
        else:
            void_asked(one, event)

    return decides("VoidAsked", withdraw)


@mutant("an authorised payment is canceled without a word to its bank")
def canceled_without_void() -> Patch:
    void_asked = capture.void_asked

    def cancel(one: case.Case, event: Any) -> None:
        if one.row.status == "authorized":
            payment.withdraw(one, event.by)
        else:
            void_asked(one, event)

    return decides("VoidAsked", cancel)


@mutant("an authorisation that has come to its end is forgotten, not voided")
def expired_without_void() -> Patch:
    def expire(one: case.Case) -> None:
        one.tell("payment.expired")
        one.change(status="expired", due=None)

    return patch.object(capture, "expire", expire)


@mutant("a second capture is sent while the first is under way or done")
def captured_twice() -> Patch:
    capture_asked = capture.capture_asked

    def capture_again(one: case.Case, event: Any) -> None:
        if one.row.status in ("capturing", "succeeded") and one.row.capture_method == "manual":
            one.change(status="authorized")
        capture_asked(one, event)

    return decides("CaptureAsked", capture_again)


@mutant("a void is sent although a capture is under way")
def void_after_capture() -> Patch:
    void_asked = capture.void_asked

    def void(one: case.Case, event: Any) -> None:
        if one.row.status == "capturing":
            one.change(status="authorized")
        void_asked(one, event)

    return decides("VoidAsked", void)


@mutant("every decline is final at once, even of a bank that has the refund already")
def declined_while_pending() -> Patch:
    def answered(one: case.Case, event: Answered) -> None:
        if event.kind == "pending":
            event = msgspec.structs.replace(event, kind="declined", decline_code="pending")
        _answered(one, event)

    return _answers_by(answered)


@mutant("the reminder is moved away before the call, for ever")
def reminder_cleared_before_the_call() -> Patch:
    keep = answers._keep

    def forget(one: case.Case, before: Attempt, after: Attempt, due: Any) -> None:
        keep(one, before, after, due.replace(year=due.year + 100) if after.state != "intent" else due)

    return patch.object(answers, "_keep", forget)


@mutant("an unknown outcome has no reminder")
def no_reminder_of_the_unknown() -> Patch:
    keep: Any = answers._keep
    return patch.object(
        answers, "_keep",
        lambda one, before, after, due: keep(one, before, after, None if after.state == "unknown" else due),
    )  # fmt: skip


def _answers_by(answered: Any) -> Patch:
    return decides("Answered", answered)


@mutant("what a bank takes back is told apart by the bank's event alone: a repeat counts twice")
def returned_twice_under_two_events() -> Patch:
    def of_event(one: case.Case, event: BankTold) -> str:
        refund_id = derived_id("ref", one.row.payment_id, f"{event.bank}:{event.bank_event_id}")
        if one.refund(refund_id) is not None:
            raise Refused("already_known")
        return refund_id

    return patch.object(bank_words, "_refund_id", of_event)
