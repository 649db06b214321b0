"""What must hold once faults have ended and time has passed: the record against the banks' own logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.payments.machine.model import PAYMENT_FINAL, REFUND_FINAL, Payment
from tests.simulation.database import Database
from tests.simulation.invariants import LATE, TERMINAL_EVENTS, Invariants, Problem
from tests.simulation.sim_bank import Movement, SimBank

_IN = {"collect", "capture"}


class Reckoning:
    """One world in its end.

    Args:
        asked: The refunds that somebody asked for.
    """

    def __init__(self, invariants: Invariants, asked: set[str]) -> None:
        self.invariants = invariants
        self.database: Database = invariants.database
        self.banks: dict[str, SimBank] = invariants.banks
        self.asked = asked
        self.lines: dict[str, list[Movement]] = {}
        for bank in self.banks.values():
            for line in bank.log:
                self.lines.setdefault(line.payment_id, []).append(line)

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong."""
        rows = self.database.rows
        if sum(rows.booked.values()) != 0:
            yield "I1", "the ledger does not sum to zero"
        for account_id in rows.accounts:
            yield from self.invariants.balance(account_id)
        for letter in rows.undone.values():
            yield "I2", f"nobody has answered {letter.event}"
        yield from self._holds()
        booked = self._booked()
        for payment_id in rows.payments:
            payment = rows.whole(payment_id)
            yield from self._ends(payment)
            yield from self._refunds(payment)
            if not self.invariants.is_left_to_people(payment):
                yield from self._at_the_banks(payment)
                yield from self._left_authorised(payment)
                for bank in self.banks:
                    yield from self._position(payment, bank, booked[payment_id, bank])

    def _holds(self) -> Iterator[Problem]:
        """What is still held is held for somebody who waits."""
        rows = self.database.rows
        for transfer in rows.transfers.values():
            if transfer.kind == "hold" and transfer.transfer_id not in rows.resolved:
                subject = transfer.transfer_id.split("/")[0]
                refund = rows.refunds.get(subject)
                is_over = (
                    refund.status in REFUND_FINAL if refund is not None
                    else rows.payments[subject].status in PAYMENT_FINAL
                )  # fmt: skip
                if is_over:
                    yield "I1", f"{subject} has ended and its money is still held"

    def _booked(self) -> Counter[tuple[str, str]]:
        """What each payment brought in at each bank, by the ledger."""
        rows, booked = self.database.rows, Counter[tuple[str, str]]()
        for waiting in rows.credits.values():
            booked[waiting.credit.payment_id, waiting.credit.bank] += waiting.credit.amount_minor
        for transfer in rows.transfers.values():
            if transfer.kind == "post" and transfer.payment_id is not None:
                for account, sign in ((transfer.debit_account, 1), (transfer.credit_account, -1)):
                    if account.startswith("bank:"):
                        booked[transfer.payment_id, account.split(":")[1]] += sign * transfer.amount_minor
        return booked

    def _position(self, payment: Payment, bank: str, booked: int) -> Iterator[Problem]:
        lines = [line for line in self.banks[bank].log if line.payment_id == payment.payment_id]
        moved = sum(line.signed_minor for line in lines)
        if booked != moved and booked - moved not in self._left_to_an_operator(payment, lines):
            yield "I3", f"{payment.payment_id}: the ledger has {booked} from {bank}, its log says {moved}"

    def _left_to_an_operator(self, payment: Payment, lines: list[Movement]) -> set[int]:
        """What a bank may have moved that the ledger does not know of, and must not follow by itself.

        It took back more than there was, or charged a second time what it had declined; the engine has kept
        the contradiction. Sums of such lines, with the sign of what the ledger has more.
        """
        sums = {0}
        if any(subject == payment.payment_id for subject, _ in self.database.rows.contradictions):
            for line in lines:
                if self._is_disowned(line):
                    sums |= {each - line.signed_minor for each in sums}
        return sums

    def _is_disowned(self, line: Movement) -> bool:
        attempt = self.database.rows.attempts.get(line.attempt_id)
        if attempt is None:
            return False
        is_unfounded = attempt.state in ("declined", "not_processed") and attempt.decline_code not in LATE
        is_of_nothing = line.operation == "bounce" and attempt.state != "reversed"
        return is_unfounded or is_of_nothing or line.operation in ("return", "chargeback")

    def _is_given_in_excess(self, line: Movement) -> bool:
        attempt = self.database.rows.attempts.get(line.attempt_id)
        is_late = attempt is not None and attempt.decline_code == "late_excess"
        return is_late and line.operation in ("refund", "bounce")

    def _ends(self, payment: Payment) -> Iterator[Problem]:
        if not self.invariants.is_left_to_people(payment):
            if payment.status not in PAYMENT_FINAL:
                yield "I2", f"{payment.payment_id} is still {payment.status}"
            for refund in payment.refunds:
                if refund.status not in REFUND_FINAL:
                    yield "I2", f"{refund.refund_id} is still {refund.status}"
        ends = sum(told.type in TERMINAL_EVENTS for told in self.database.rows.told[payment.payment_id])
        if ends != (payment.status in PAYMENT_FINAL):
            yield "I2", f"{payment.payment_id} is {payment.status} and tells {ends} ends"

    def _refunds(self, payment: Payment) -> Iterator[Problem]:
        for refund in payment.refunds:
            if refund.origin in ("user", "customer_service") and refund.refund_id not in self.asked:
                yield "I4", f"nobody asked for {refund.refund_id}"

    def _at_the_banks(self, payment: Payment) -> Iterator[Problem]:
        lines, moved = self.lines.get(payment.payment_id, []), Counter[str]()
        for line in lines:
            if self._is_given_in_excess(line) and payment.raised_at is not None:
                continue  # Declined, and given when nothing was left: an operator knows, suspense has paid.
            if line.operation not in _IN or not self._is_disowned(line):
                moved[line.operation] += line.amount_minor
        name = payment.payment_id
        taken, given = moved["collect"] + moved["capture"], moved["refund"] - moved["bounce"]
        late = sum(
            each.amount_minor for each in payment.attempts
            if each.decline_code == "late_success" and each.operation in _IN
        )  # fmt: skip
        ours = [each for each in payment.refunds if each.origin == "system"]
        if taken - late != payment.captured_minor:
            yield "I3", f"{name} is captured {payment.captured_minor}, banks took {taken}, {late} of it late"
        if late != sum(each.amount_minor for each in ours):
            yield "I3", f"{name} was charged {late} after its decline, which was not compensated"
        if payment.raised_at is None and any(each.status != "succeeded" for each in ours):
            yield "I3", f"{name} was not given back what came late, and nobody was told"
        if given > taken and self._left_to_an_operator(payment, lines) == {0}:
            yield "headroom", f"{name} was refunded {given} of {taken}, and nobody was told"
        lost = given + moved["chargeback"] + moved["return"]
        if lost > taken and self._left_to_an_operator(payment, lines) == {0}:
            yield "headroom", f"{name} lost {lost} of {taken}, and nobody was told"
        paid = sum(line.operation == "payout" for line in lines)
        if payment.kind == "payout" and paid != (payment.status == "succeeded") and payment.raised_at is None:
            yield "I3", f"{name} is {payment.status} and was paid out {paid} times"

    def _left_authorised(self, payment: Payment) -> Iterator[Problem]:
        if payment.status not in PAYMENT_FINAL or payment.raised_at is not None:
            return
        for bank in self.banks.values():
            for entry in bank.entries.values():
                asked = entry.attempt
                is_live = asked.operation == "authorise" and entry.state == "confirmed" and not entry.is_spent
                if is_live and asked.end_to_end_id == payment.payment_id:
                    yield "I3", f"{payment.payment_id} is {payment.status}, {bank.name} still reserves for it"
