"""Chargebacks: while one is open, its amount can neither be refunded nor disputed a second time (pure)."""

from __future__ import annotations

from msgspec.structs import replace

from services.payments.machine.case import Case
from services.payments.machine.errors import Refused
from services.payments.machine.events import BankTold
from services.payments.machine.model import Attempt, Dispute, derived_id, headroom_minor

# As the record keeps it.
REFERENCE_CHARS_MAX = 255


def told(case: Case, attempt: Attempt, event: BankTold) -> None:
    """The bank opens or ends a dispute about captured money. A loss that nobody opened is opened first.

    Raises:
        Refused: It is known already, or contradicts what is known.
    """
    reference = event.dispute_reference
    if not reference or len(reference) > REFERENCE_CHARS_MAX or not reference.isprintable():
        raise Refused("text_invalid")
    dispute_id = derived_id("dsp", case.row.payment_id, f"{event.bank}:{reference}")
    of = case.dispute(dispute_id)
    if of is not None and of.amount_minor != event.amount_minor:
        case.contradict(f"{event.bank} changed the amount of dispute {reference}", of.opened_at)
        raise Refused("mismatch")
    if event.what == "dispute_opened":
        if of is not None:
            raise Refused("already_known")
        _open(case, attempt, dispute_id, reference, event)
    elif event.what == "dispute_lost":
        _lose(case, attempt, of or _open(case, attempt, dispute_id, reference, event), event)
    else:
        if of is None:
            raise Refused("unknown_dispute")
        _win(case, of, event)


def _open(case: Case, attempt: Attempt, dispute_id: str, reference: str, event: BankTold) -> Dispute:
    if event.amount_minor > headroom_minor(case.row):
        problem = f"{event.bank} disputes more than is left of the payment (dispute {reference})"
        case.contradict(problem, attempt.created_at)
        raise Refused("refund_exceeds_available")
    of = Dispute(
        dispute_id=dispute_id,
        payment_id=case.row.payment_id,
        amount_minor=event.amount_minor,
        status="opened",
        bank_reference=reference,
        due=case.now + case.policy.dispute_deadline,
        opened_at=case.now,
    )
    case.tell(
        "dispute.opened", {"bank": event.bank, "amount_minor": event.amount_minor}, subject_id=dispute_id
    )
    case.put_dispute(of, disputed_minor=case.row.disputed_minor + event.amount_minor)
    return of


def _win(case: Case, of: Dispute, event: BankTold) -> None:
    if of.status != "opened":
        _refuse_second_end(case, of, event, "won")
    case.tell("dispute.won", {"bank": event.bank, "amount_minor": of.amount_minor}, subject_id=of.dispute_id)
    case.put_dispute(
        replace(of, status="won", due=None), disputed_minor=case.row.disputed_minor - of.amount_minor
    )


def _lose(case: Case, attempt: Attempt, of: Dispute, event: BankTold) -> None:
    if of.status != "opened":
        _refuse_second_end(case, of, event, "lost")
    case.take_back(of.dispute_id, attempt.bank, of.amount_minor)
    case.tell("dispute.lost", {"bank": event.bank, "amount_minor": of.amount_minor}, subject_id=of.dispute_id)
    case.put_dispute(replace(of, status="lost", due=None))


def _refuse_second_end(case: Case, of: Dispute, event: BankTold, status: str) -> None:
    if of.status == status:
        raise Refused("already_known")
    case.contradict(
        f"{event.bank} says that dispute {of.bank_reference} is {status}, after {of.status}", of.opened_at
    )
    raise Refused("contradiction")


def remind(case: Case, of: Dispute) -> None:
    """The bank has not ended it in time: a person looks at it, it stays open."""
    case.call_operator("a dispute has no end", of.opened_at + case.policy.dispute_deadline, of.dispute_id)
    case.put_dispute(replace(of, due=case.now + case.policy.dispute_deadline))
