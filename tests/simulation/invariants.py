"""What must hold after every commit, and what must hold in the end, seen from outside of the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from services.payments.machine.events import Decisions
from services.payments.machine.model import (
    ATTEMPT_OPEN,
    PAYMENT_FINAL,
    REFUND_FINAL,
    Attempt,
    Payment,
    headroom_minor,
)
from tests.simulation.database import Database
from tests.simulation.sim_bank import Movement, SimBank
from tests.simulation.trace import Trace

TERMINAL_EVENTS = {"payment.succeeded", "payment.failed", "payment.canceled", "payment.expired"}
# What may still be told of a payment that has ended.
_AFTER_THE_END = {"payment.late_success", "payment.contradiction", "payment.needs_operator"}
_IN = {"collect", "capture"}
_TRUTHS = {"confirmed": "confirmed", "reversed": "confirmed"}


class Invariants:
    """Watches one world.

    Args:
        banks: What the banks have really done is the truth that the record is held against.
    """

    def __init__(self, database: Database, banks: dict[str, SimBank], trace: Trace) -> None:
        self.database = database
        self.banks = banks
        self.trace = trace
        self.ended: dict[str, str] = {}
        self.sequences: dict[str, int] = {}
        self.versions: Counter[str] = Counter()
        self.states: dict[str, str] = {}

    def look(self, decisions: Decisions) -> None:
        """Check what a commit has written."""
        for problem in self._broken_by(decisions):
            self.trace.violate(*problem)

    def _broken_by(self, decisions: Decisions) -> Iterator[tuple[str, str]]:
        rows = self.database.rows
        for account_id in _accounts_of(decisions):
            yield from self._balance(account_id)
        for told in decisions.told:
            expected = self.sequences.get(told.payment_id, 1) + 1
            if told.sequence != expected:
                yield "sequence", f"{told.payment_id} tells {told.sequence} after {expected - 1}"
            self.sequences[told.payment_id] = told.sequence
            yield from self._terminal(told.payment_id, told.type)
        for payment in decisions.payments:
            whole = rows.whole(payment.payment_id)
            if whole.sequence != self.sequences.get(payment.payment_id, 1):
                yield "sequence", f"{payment.payment_id} counts {whole.sequence}"
            yield from _open_at_the_end(whole)
            ended = self.ended.setdefault(payment.payment_id, whole.status)
            if ended in PAYMENT_FINAL and ended != whole.status:
                yield "I2", f"{payment.payment_id} was {ended} and is {whole.status}"
            self.ended[payment.payment_id] = whole.status
        for attempt in decisions.attempts:
            yield from self._truth(attempt)

    def _balance(self, account_id: str) -> Iterator[tuple[str, str]]:
        rows = self.database.rows
        account = rows.accounts[account_id]
        if account.posted_minor != rows.booked[account_id]:
            yield "I1", f"{account_id} has {account.posted_minor}, its transfers say {rows.booked[account_id]}"
        if account.held_minor != rows.held[account_id]:
            yield "I1", f"{account_id} holds {account.held_minor}, its transfers say {rows.held[account_id]}"
        waiting = sum(each.credit.amount_minor for each in rows.unposted.get(account_id, ()))
        if account.unposted_minor != waiting:
            yield "I1", f"{account_id} counts {account.unposted_minor} unposted, there are {waiting}"
        if account.posted_minor - account.held_minor < 0:
            yield "I1", f"{account_id} is overdrawn"
        if account.version < self.versions[account_id]:
            yield "order", f"the version of {account_id} went back"
        self.versions[account_id] = account.version

    def _terminal(self, payment_id: str, kind: str) -> Iterator[tuple[str, str]]:
        has_ended = payment_id in self.states
        if kind in TERMINAL_EVENTS:
            if has_ended:
                yield "I2", f"{payment_id} ended as {self.states[payment_id]} and as {kind}"
            self.states[payment_id] = kind
        elif has_ended and kind.startswith("payment.") and kind not in _AFTER_THE_END:
            yield "I2", f"{payment_id} tells {kind} after {self.states[payment_id]}"

    def _truth(self, attempt: Attempt) -> Iterator[tuple[str, str]]:
        entry = self.banks[attempt.bank].entries.get(attempt.attempt_id)
        state = attempt.state
        if state == "not_processed" and entry is not None and attempt.decline_code != "late_success":
            yield "I3", f"{attempt.attempt_id} counts as not processed, its bank has it as {entry.state}"
        if state == "declined" and (entry is None or not entry.was_declined):
            yield "I3", f"{attempt.attempt_id} counts as declined, its bank never said so"
        if state in _TRUTHS and (entry is None or entry.state != _TRUTHS[state]):
            yield "I3", f"{attempt.attempt_id} counts as {state}, its bank does not say so"

    def look_at_the_end(self) -> None:
        """Check what must hold once faults have ended and time has passed."""
        for problem in self._broken_in_the_end():
            self.trace.violate(*problem)

    def _broken_in_the_end(self) -> Iterator[tuple[str, str]]:
        rows = self.database.rows
        if sum(rows.booked.values()) != 0:
            yield "I1", "the ledger does not sum to zero"
        for account_id in rows.accounts:
            yield from self._balance(account_id)
        for letter in rows.undone.values():
            yield "I2", f"nobody has answered {letter.event}"
        positions = self._positions()
        for payment_id in rows.payments:
            payment = rows.whole(payment_id)
            yield from self._unfinished(payment)
            yield from self._at_the_banks(payment)
            for bank in self.banks:
                booked, moved = positions[0][payment_id, bank], positions[1][payment_id, bank]
                if booked != moved and booked - moved not in self._left_to_an_operator(payment, bank):
                    yield "I3", f"{payment_id}: the ledger has {booked} from {bank}, its log says {moved}"

    def _positions(self) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """What each payment brought in at each bank: by the ledger, and by the banks' own logs."""
        rows, booked, moved = self.database.rows, Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for waiting in rows.credits.values():
            booked[waiting.credit.payment_id, waiting.credit.bank] += waiting.credit.amount_minor
        for transfer in rows.transfers.values():
            if transfer.kind == "post" and transfer.payment_id is not None:
                for account, sign in ((transfer.debit_account, 1), (transfer.credit_account, -1)):
                    if account.startswith("bank:"):
                        booked[transfer.payment_id, account.split(":")[1]] += sign * transfer.amount_minor
        for bank in self.banks.values():
            for line in bank.log:
                moved[line.payment_id, bank.name] += line.signed_minor
        return booked, moved

    def _unfinished(self, payment: Payment) -> Iterator[tuple[str, str]]:
        if payment.status not in PAYMENT_FINAL and not self._is_left_to_people(payment):
            yield "I2", f"{payment.payment_id} is still {payment.status}"
        for refund in payment.refunds:
            if refund.status not in REFUND_FINAL and not self._is_left_to_people(payment):
                yield "I2", f"{refund.refund_id} is still {refund.status}"
        terminal = sum(t.type in TERMINAL_EVENTS for t in self.database.rows.told[payment.payment_id])
        if terminal != (payment.status in PAYMENT_FINAL):
            yield "I2", f"{payment.payment_id} is {payment.status} and tells {terminal} ends"

    def _is_left_to_people(self, payment: Payment) -> bool:
        """Unknown, and too old to be sent again to a bank that never had it: by design nobody may decide."""
        return payment.raised_at is not None and any(
            attempt.state == "unknown" and attempt.attempt_id not in self.banks[attempt.bank].entries
            for attempt in payment.attempts
        )

    def _left_to_an_operator(self, payment: Payment, bank: str) -> set[int]:
        """What a bank may have moved that the ledger does not know of, and must not follow by itself.

        It took back more than there was, or charged a second time what it had declined; the engine has told
        the contradiction. Sums of such lines, with the sign of what the ledger has more.
        """
        sums = {0}
        if any(subject == payment.payment_id for subject, _ in self.database.rows.contradictions):
            for line in self.banks[bank].log:
                if line.payment_id == payment.payment_id and self._is_disowned(line):
                    sums |= {each - line.signed_minor for each in sums}
        return sums

    def _is_disowned(self, line: Movement) -> bool:
        attempt = self.database.rows.attempts[line.attempt_id]
        is_unfounded = attempt.state in ("declined", "not_processed") and attempt.decline_code != "late_success"
        return is_unfounded or line.operation in ("return", "chargeback")

    def _at_the_banks(self, payment: Payment) -> Iterator[tuple[str, str]]:
        lines = [line for bank in self.banks.values() for line in bank.log
                 if line.payment_id == payment.payment_id]  # fmt: skip
        moved = Counter[str]()
        for line in lines:
            if line.operation not in _IN or not self._is_disowned(line):
                moved[line.operation] += line.amount_minor
        name = payment.payment_id
        taken, given = moved["collect"] + moved["capture"], moved["refund"] - moved["bounce"]
        late = sum(
            each.amount_minor for each in payment.attempts
            if each.decline_code == "late_success" and each.operation in _IN
        )  # fmt: skip
        given_back = sum(each.amount_minor for each in payment.refunds if each.origin == "system")
        if taken - late != payment.captured_minor:
            yield "I3", f"{name} is captured {payment.captured_minor}, banks took {taken}, {late} of it late"
        if late != given_back:
            yield "I3", f"{name} was charged {late} after its decline, compensated are {given_back}"
        if payment.raised_at is None and any(
            each.origin == "system" and each.status != "succeeded" for each in payment.refunds
        ):
            yield "I3", f"{name} was not given back what came late, and nobody was told"
        if given > taken:
            yield "headroom", f"{name} was refunded {given} of {taken}"
        paid = sum(line.operation == "payout" for line in lines)
        if payment.kind == "payout" and paid != (payment.status == "succeeded") and payment.raised_at is None:
            yield "I3", f"{name} is {payment.status} and was paid out {paid} times"
        yield from self._left_authorised(payment)

    def _left_authorised(self, payment: Payment) -> Iterator[tuple[str, str]]:
        if payment.status not in PAYMENT_FINAL or payment.raised_at is not None:
            return
        for bank in self.banks.values():
            for entry in bank.entries.values():
                order = entry.order
                is_live = order.operation == "authorise" and entry.state == "confirmed" and not entry.is_spent
                if is_live and order.payment_id == payment.payment_id:
                    yield "I3", f"{payment.payment_id} is {payment.status}, {bank.name} still reserves for it"


def _accounts_of(decisions: Decisions) -> Iterable[str]:
    named = [each.account_id for each in decisions.accounts] + [each.account_id for each in decisions.payments]
    return dict.fromkeys(named)


def _open_at_the_end(payment: Payment) -> Iterator[tuple[str, str]]:
    if headroom_minor(payment) < 0:
        yield "headroom", f"{payment.payment_id} has {headroom_minor(payment)} left"
    if payment.status in PAYMENT_FINAL:
        for attempt in payment.attempts:
            if attempt.subject_id == payment.payment_id and attempt.state in ATTEMPT_OPEN:
                yield "I3", f"{payment.payment_id} is {payment.status}, {attempt.attempt_id} {attempt.state}"
    for refund in payment.refunds:
        if refund.status in REFUND_FINAL:
            for attempt in payment.attempts:
                if attempt.subject_id == refund.refund_id and attempt.state in ATTEMPT_OPEN:
                    yield "I3", f"{refund.refund_id} is {refund.status}, {attempt.attempt_id} {attempt.state}"
