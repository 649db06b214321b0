"""The rows in memory, one turn after another, and what must always hold of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from services.payments.machine.attempts import op_key_of
from services.payments.machine.choice import Choice
from services.payments.machine.events import (
    Answered,
    AnswerKind,
    Asking,
    BankTold,
    Decisions,
    Event,
    Order,
    ReminderDue,
    Screened,
    Snapshot,
    Told,
    TurnCame,
)
from services.payments.machine.model import (
    LATE_SUCCESS,
    PAYMENT_FINAL,
    REFUND_FINAL,
    Account,
    Attempt,
    CaptureMethod,
    Credit,
    Dispute,
    Kind,
    Payment,
    Refund,
    Transfer,
    late_refunds_minor,
    unclaimed_minor,
)
from services.payments.machine.policy import Policy
from services.payments.machine.turn import decide

Row: TypeAlias = Attempt | Refund | Dispute

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
ACCOUNT = "acc_1"
OPENING_MINOR = 100_000
POLICY = Policy()
BANKS = ("bank-alpha", "bank-beta")


class FakeBanks:
    """Routes that choose the first bank that is there; `away` and `final` are set by the test."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.final: set[str] = set()

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:  # noqa: ARG002 - the port
        left = [bank for bank in BANKS if bank not in excluded | self.away]
        return Choice(bank=left[0] if left else None, explanation="{}")

    def is_not_found_final(self, bank: str) -> bool:
        return bank in self.final


class TinyRecord:
    """Applies turns as the real record does, and checks everything after each."""

    def __init__(self, opening_minor: int = OPENING_MINOR, policy: Policy = POLICY) -> None:
        self.now = START
        self.policy = policy
        self.banks = FakeBanks()
        self.account = Account(
            account_id=ACCOUNT, merchant_id="m_1", currency="EUR", posted_minor=opening_minor,
            held_minor=0, unposted_minor=0, version=0,
        )  # fmt: skip
        self.opening_minor = opening_minor
        self.payments: dict[str, Payment] = {}
        self.rows: dict[str, Row] = {}
        self.transfers: dict[str, Transfer] = {}
        self.credits: dict[str, Credit] = {}
        self.waiting: list[Credit] = []
        self.story: dict[str, list[Told]] = defaultdict(list)
        self.orders: list[Order] = []
        self.askings: list[Asking] = []
        self.contradictions: list[tuple[str, str]] = []
        self.mail: dict[int, str] = {}

    # What tests do.

    def accept(
        self, kind: Kind = "collect", amount_minor: int = 1_000, capture_method: CaptureMethod = "automatic"
    ) -> str:
        payment_id = f"pay_eu_{len(self.payments):026d}"
        self.payments[payment_id] = Payment(
            payment_id=payment_id, account_id=ACCOUNT, merchant_id="m_1", kind=kind,
            capture_method=capture_method, amount_minor=amount_minor, currency="EUR",
            instrument="tok_1", status="accepted", sequence=1, account_version=None, bank=None,
            decline_code=None, accepted_at=self.now, due=self.now + timedelta(seconds=30),
        )  # fmt: skip
        return payment_id

    def submit(self, *args: Any, **options: Any) -> str:
        """A payment that its first bank may have by now."""
        payment_id = self.accept(*args, **options)
        self.turn(TurnCame(payment_id=payment_id))
        self.screen(payment_id)
        return payment_id

    def succeed(self, *args: Any, **options: Any) -> str:
        payment_id = self.submit(*args, **options)
        self.answer("confirmed")
        return payment_id

    def authorize(self, amount_minor: int = 1_000) -> str:
        return self.succeed("collect", amount_minor, "manual")

    def screen(self, payment_id: str, verdict: Any = "pass") -> Decisions:
        return self.turn(
            Screened(
                payment_id=payment_id, verdict=verdict, rule_pack="rules@1:ab", inputs_digest="00",
                reasons=("velocity",),
            )
        )  # fmt: skip

    def answer(self, kind: AnswerKind, order: Order | None = None, code: str | None = None) -> Decisions:
        """The bank's answer to an order, by default to the last one."""
        order = order or self.orders[-1]
        return self.turn(
            Answered(
                payment_id=order.payment_id, attempt_id=order.attempt_id, epoch=order.epoch, kind=kind,
                asked=kind == "not_found", decline_code=code,
                bank_reference=f"ref-{order.attempt_id}" if kind == "confirmed" else None,
            )
        )  # fmt: skip

    def told(self, what: Any, attempt: Attempt | Order, **changed: Any) -> BankTold:
        return BankTold(**{
            "payment_id": attempt.payment_id, "mail_id": len(self.mail) + 1, "bank": attempt.bank,
            "what": what, "bank_event_id": "evt-1", "attempt_id": attempt.attempt_id,
            "amount_minor": attempt.amount_minor, "currency": "EUR", **changed,
        })  # fmt: skip

    def wait(self, subject_id: str, **duration: float) -> Decisions:
        """Let time pass, and the reminder with it."""
        self.now += timedelta(**duration)
        return self.turn(ReminderDue(payment_id=self._payment_of(subject_id), subject_id=subject_id))

    def wait_only(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def status(self, payment_id: str) -> str:
        return self.payments[payment_id].status

    def types(self, payment_id: str) -> list[str]:
        return [told.type.removeprefix("payment.") for told in self.story[payment_id]]

    def _payment_of(self, subject_id: str) -> str:
        row = self.rows.get(subject_id)
        return subject_id if row is None else row.payment_id

    # What the record does.

    def decide(
        self, events: Iterable[Event], *, without_account: bool = False, without_payments: bool = False
    ) -> Decisions:
        events = list(events)
        snapshot = Snapshot(
            now=self.now,
            events=events,
            accounts={} if without_account else {ACCOUNT: self.account},
            payments={} if without_payments else {e.payment_id: self.payments[e.payment_id] for e in events},
            refund_owners={r.refund_id: r.payment_id for p in self.payments.values() for r in p.refunds},
        )
        return decide(snapshot, self.banks, self.policy)

    def turn(self, *events: Event) -> Decisions:
        done = self.decide(events)
        for credit in done.credits:
            assert credit.source_id not in self.credits
            self.credits[credit.source_id] = credit
            self.waiting.append(credit)
        if done.flushed:
            self._post_window()
        for transfer in done.transfers:
            self._write(transfer)
        for account in done.accounts:
            self.account = account
        for payment in done.payments:
            self.payments[payment.payment_id] = payment
        rows: list[Row] = [*done.attempts, *done.refunds, *done.disputes]
        for row in rows:
            self.rows[_id_of(row)] = row
        for told in done.told:
            self.story[told.payment_id].append(told)
        self.orders += done.orders
        self.askings += done.askings
        self.contradictions += done.contradictions
        self.mail.update(done.mail_done)
        assert [] == [i for i, n in Counter(map(_id_of, done.attempts)).items() if n > 1]
        assert [] == [i for i, n in Counter(p.payment_id for p in done.payments).items() if n > 1]
        self.check()
        return done

    def post_windows(self) -> None:
        self.account = _posted(self.account)
        self._post_window()
        self.check()

    def _post_window(self) -> None:
        if total := sum(credit.amount_minor for credit in self.waiting):
            self._write(
                Transfer(
                    transfer_id=f"{ACCOUNT}/window/{len(self.transfers)}", payment_id=None, kind="post",
                    debit_account="clearing:EUR", credit_account=ACCOUNT, amount_minor=total,
                    currency="EUR",
                )
            )  # fmt: skip
        self.waiting = []

    def _write(self, transfer: Transfer) -> None:
        assert transfer.transfer_id not in self.transfers
        assert transfer.amount_minor > 0
        assert transfer.debit_account != transfer.credit_account
        if transfer.resolves is not None:
            held = self.transfers[transfer.resolves]
            assert "hold" == held.kind
            assert held.amount_minor == transfer.amount_minor
            assert [] == [t for t in self.transfers.values() if t.resolves == transfer.resolves]
        self.transfers[transfer.transfer_id] = transfer

    # What must always hold.

    def check(self) -> None:
        self._check_money()
        for payment in self.payments.values():
            self._check_payment(payment)

    def _check_money(self) -> None:
        account, sums = self.account, self.sums()
        resolved = {transfer.resolves for transfer in self.transfers.values()}
        held = sum(t.amount_minor for t in self.transfers.values()
                   if t.kind == "hold" and t.transfer_id not in resolved)  # fmt: skip

        assert 0 == sum(sums.values())
        assert account.posted_minor == self.opening_minor + sums[ACCOUNT]
        assert account.held_minor == held
        assert account.unposted_minor == sum(credit.amount_minor for credit in self.waiting)
        assert account.posted_minor - account.held_minor >= 0

    def sums(self) -> Counter[str]:
        """Each ledger account's credits minus debits; a credit that waits has come from its bank."""
        sums: Counter[str] = Counter()
        for transfer in self.transfers.values():
            if transfer.kind == "post":
                sums[transfer.debit_account] -= transfer.amount_minor
                sums[transfer.credit_account] += transfer.amount_minor
        for credit in self.credits.values():
            sums[f"bank:{credit.bank}:EUR"] -= credit.amount_minor
            sums["clearing:EUR"] += credit.amount_minor
        return sums

    def _check_payment(self, payment: Payment) -> None:
        story = self.story[payment.payment_id]
        counting = Counter(
            (a.subject_id, op_key_of(a.operation)) for a in payment.attempts
            if a.state not in {"declined", "not_processed", "reversed"}
        )  # fmt: skip
        given_back = sum(r.amount_minor for r in payment.refunds
                         if r.status == "succeeded" and r.origin != "system")  # fmt: skip
        nested: tuple[Row, ...] = (*payment.attempts, *payment.refunds, *payment.disputes)

        assert (payment.status in PAYMENT_FINAL) == (payment.due is None)
        assert all((r.status in REFUND_FINAL) == (r.due is None) for r in payment.refunds)
        assert all((d.status == "opened") == (d.due is not None) for d in payment.disputes)
        assert [] == [key for key, count in counting.items() if count > 1]
        assert unclaimed_minor(payment) >= 0
        assert payment.refunded_minor == given_back + late_refunds_minor(payment, LATE_SUCCESS)
        assert given_back <= payment.captured_minor
        assert list(range(2, 2 + len(story))) == [told.sequence for told in story]
        assert payment.sequence == 1 + len(story)
        assert [self.rows[_id_of(row)] for row in nested] == list(nested)


def _id_of(row: Row) -> str:
    if isinstance(row, Attempt):
        return row.attempt_id
    return row.refund_id if isinstance(row, Refund) else row.dispute_id


def _posted(account: Account) -> Account:
    return Account(
        account_id=account.account_id, merchant_id=account.merchant_id, currency=account.currency,
        posted_minor=account.posted_minor + account.unposted_minor, held_minor=account.held_minor,
        unposted_minor=0, version=account.version,
    )  # fmt: skip
