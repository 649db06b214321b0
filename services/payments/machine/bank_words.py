"""What a bank says by itself: a callback, or a line of a settlement file (pure).

Promise: it is believed only about an attempt of this payment at this bank, with this amount and currency;
anything else moves nothing and is shown to an operator.
"""

from __future__ import annotations

from services.payments.machine import answers, attempts, dispute, refund
from services.payments.machine.case import Case
from services.payments.machine.errors import Refused
from services.payments.machine.events import BankTold
from services.payments.machine.model import ATTEMPT_OPEN, Attempt, derived_id, headroom_minor

# What may concern less than the whole attempt.
_PARTIAL = frozenset({"returned", "recalled", "dispute_opened", "dispute_won", "dispute_lost"})
# A recall that a person, the deadline, or the account's balance has refused.
_REFUSED = frozenset({"failed", "canceled"})


def told(case: Case, event: BankTold) -> None:
    """Apply it.

    Raises:
        Refused: It is known already, cannot be believed, or contradicts what is known.
    """
    attempt = _match(case, event)
    if event.what in ("confirmed", "declined"):
        answers.settle(case, attempt, event.what == "confirmed", event.bank_reference, event.decline_code)
    elif event.what == "bounced":
        _bounce(case, attempt, event)
    else:
        _about_captured(case, attempt, event)


def _match(case: Case, event: BankTold) -> Attempt:
    attempt = case.attempt(event.attempt_id)
    if attempt is None:
        case.contradict(
            f"{event.bank} speaks of {event.attempt_id}, which does not exist", case.row.accepted_at
        )
        raise Refused("unknown_attempt")
    amount_fits = (
        1 <= event.amount_minor <= attempt.amount_minor
        if event.what in _PARTIAL
        else event.amount_minor == attempt.amount_minor
    )
    if event.bank == attempt.bank and event.currency == case.row.currency and amount_fits:
        return attempt
    if (
        event.bank == attempt.bank
        and attempt.state in ATTEMPT_OPEN
        and attempt.not_found_since != attempts.NEVER_NOT_FOUND
    ):
        case.put_attempt(attempts.spoken_of(attempt))
    case.contradict(
        f"{event.bank} says {event.what} of {event.attempt_id} with {event.amount_minor} {event.currency}; "
        f"it is {attempt.amount_minor} {case.row.currency} at {attempt.bank}",
        attempt.created_at,
    )
    raise Refused("mismatch")


def _bounce(case: Case, attempt: Attempt, event: BankTold) -> None:
    if attempt.operation == "refund":
        if attempt.state == "reversed":
            raise Refused("already_known")
        if attempt.state in ATTEMPT_OPEN:
            # What comes back had arrived: the bank's words overtook each other.
            answers.settle(case, attempt, True, event.bank_reference, None)
            attempt = case.attempt(event.attempt_id) or attempt
        if attempt.state == "confirmed":
            refund.bounced(case, attempt)
            return
    _contradict(case, attempt, event)


def _about_captured(case: Case, attempt: Attempt, event: BankTold) -> None:
    if attempt.operation not in ("collect", "capture"):
        _contradict(case, attempt, event)
    if attempt.state in ATTEMPT_OPEN:
        # What is taken back or disputed had been paid: the bank's words overtook each other.
        answers.settle(case, attempt, True, event.bank_reference, None)
        attempt = case.attempt(event.attempt_id) or attempt
    if attempt.state != "confirmed":
        _contradict(case, attempt, event)
    if event.what.startswith("dispute_"):
        dispute.told(case, attempt, event)
        return
    refund_id = _refund_id(case, event)
    if event.amount_minor > headroom_minor(case.row):
        if event.what == "returned":
            case.contradict(
                f"{event.bank} took back more than is left of the payment ({event.bank_event_id})",
                attempt.created_at,
            )
        raise Refused("refund_exceeds_available")
    if event.what == "returned":
        refund.moved_by_bank(case, refund_id, event.amount_minor, event.bank, "returned")
    else:
        refund.begin(case, refund_id, event.amount_minor, "bank", event.bank, "recalled")


def _refund_id(case: Case, event: BankTold) -> str:
    """A new refund's id. What matches an earlier word in all but the event's id is that word, repeated.

    A bank that recalls again what was refused before says something new.

    Raises:
        Refused: already_known.
    """
    of_event = derived_id("ref", case.row.payment_id, f"{event.bank}:{event.bank_event_id}")
    if case.refund(of_event) is not None:
        raise Refused("already_known")
    if not event.bank_reference:
        return of_event
    matter = f"{event.bank}:{event.what}:{event.bank_reference}:{event.amount_minor}"
    of_matter = derived_id("ref", case.row.payment_id, matter)
    known = case.refund(of_matter)
    if known is None:
        return of_matter
    if event.what == "recalled" and known.status in _REFUSED:
        return of_event
    raise Refused("already_known")


def _contradict(case: Case, attempt: Attempt, event: BankTold) -> None:
    case.contradict(
        f"{event.bank} says {event.what} of {attempt.attempt_id}, "
        f"a {attempt.operation} that is {attempt.state}",
        attempt.created_at,
    )
    raise Refused("contradiction")
