"""Judge what was seen from outside (pure): every way in which an invariant does not hold is one violation.

I1 money is conserved. I2 each payment has one outcome, which stays. I3 the banks moved at most once, and what
the record says. I4 each 202 has evidence, and a repeat gets the same bytes. I9 every event was delivered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.client_log import Promise

OUTCOMES: Final = ("succeeded", "failed", "canceled", "expired")
TERMINAL_EVENTS: Final = tuple(f"payment.{outcome}" for outcome in OUTCOMES)
# What a bank does once for a payment; it may hold an amount first, and give money back later.
MOVES_THE_MONEY: Final = ("collect", "capture", "payout")
GIVES_BACK: Final = ("refund", "bounced", "returned", "chargeback")


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of a bank's own ledger."""

    bank: str
    payment_id: str
    operation: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A payment in our record.

    Attributes:
        terminal_events: how many events of its story end it.
        left_to_operator: its story says that a bank did what it had declined, and that a person is called.
        undelivered: events that the merchant's receiver has not acknowledged, as our record has it.
    """

    kind: str
    status: str
    amount_minor: int
    currency: str
    terminal_events: int
    undelivered: int
    left_to_operator: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen from outside when everything was quiet.

    Attributes:
        promises: the client's log of 202s.
        recorded: payment id to what the record holds.
        earlier: outcomes that were seen before, by payment id.
        movements: both banks' own ledgers.
        imbalances: rows of `ledger_imbalance`.
        forgotten: rows of `reminders_missing`.
        repeats: payment id to status and body that a repeat of its request got.
        proven: ids of payments with a leaf under a signed checkpoint.
        bundles: payment id to why its evidence does not verify; of a sample, those that do are empty.
        events: payment id to the sequences that its story has.
        webhooks: payment id to the sequences that arrived, verified, at the merchant's receiver.
    """

    promises: Sequence[Promise] = ()
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    earlier: Mapping[str, str] = field(default_factory=dict)
    movements: Sequence[Movement] = ()
    imbalances: Sequence[str] = ()
    forgotten: Sequence[str] = ()
    repeats: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()
    bundles: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, frozenset[int]] = field(default_factory=dict)
    webhooks: Mapping[str, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    invariant: str
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.what}"


def judge(seen: Observation) -> list[Violation]:
    """List every violation."""
    return [
        *(Violation("I1", "the ledger", row) for row in seen.imbalances),
        *_judge_outcomes(seen),
        *_judge_banks(seen),
        *_judge_promises(seen),
        *_judge_webhooks(seen),
    ]


def _judge_outcomes(seen: Observation) -> Iterator[Violation]:
    for row in seen.forgotten:
        yield Violation("I2", "the reminders", row)
    for payment_id, payment in seen.recorded.items():
        if payment.status not in OUTCOMES:
            yield Violation("I2", payment_id, f"is still {payment.status}")
        if payment.terminal_events != 1:
            yield Violation("I2", payment_id, f"has {payment.terminal_events} events that end it")
    for payment_id, status in seen.earlier.items():
        now = seen.recorded.get(payment_id)
        if now is None or now.status != status:
            yield Violation("I2", payment_id, f"was {status} and is {now.status if now else 'gone'}")


def _judge_banks(seen: Observation) -> Iterator[Violation]:
    moved: dict[str, list[Movement]] = defaultdict(list)
    given_back: dict[str, int] = defaultdict(int)
    for movement in seen.movements:
        if movement.operation in MOVES_THE_MONEY:
            moved[movement.payment_id].append(movement)
        elif movement.operation in GIVES_BACK:
            given_back[movement.payment_id] += movement.amount_minor
    for payment_id in moved.keys() - seen.recorded.keys():
        yield Violation("I3", payment_id, "was moved by a bank and is not in the record")
    for payment_id, payment in seen.recorded.items():
        lines = moved[payment_id]
        if len(lines) > 1:
            banks = ", ".join(sorted(line.bank for line in lines))
            yield Violation("I3", payment_id, f"was moved {len(lines)} times: {banks}")
        for line in lines:
            if (line.amount_minor, line.currency) != (payment.amount_minor, payment.currency):
                yield Violation("I3", payment_id, f"was moved as {line.amount_minor} {line.currency}")
        # Money that was paid out late cannot be asked back by itself; what was collected late can.
        went_out = payment.kind == "payout" and payment.left_to_operator
        expected = payment.amount_minor if payment.status == "succeeded" or went_out else 0
        net = sum(line.amount_minor for line in lines) - given_back[payment_id]
        if payment.status in OUTCOMES and net != expected:
            what = f"{payment.kind} is {payment.status}, and the banks moved {net}"
            yield Violation("I3", payment_id, what)


def _judge_promises(seen: Observation) -> Iterator[Violation]:
    keys: dict[str, str] = {}
    for promise in seen.promises:
        payment_id = promise.payment_id
        if keys.setdefault(promise.idempotency_key, payment_id) != payment_id:
            yield Violation("I4", payment_id, f"shares its key with {keys[promise.idempotency_key]}")
        if payment_id not in seen.recorded:
            yield Violation("I4", payment_id, "was accepted and is not in the record")
        if payment_id not in seen.proven:
            yield Violation("I4", payment_id, "has no leaf under a signed checkpoint")
        if seen.repeats.get(payment_id) != (promise.status, promise.response_body):
            status, body = seen.repeats.get(payment_id, (0, "nothing"))
            yield Violation("I4", payment_id, f"a repeat got {status}: {body[:200]}")
    for payment_id, reason in seen.bundles.items():
        if reason:
            yield Violation("I4", payment_id, f"its evidence does not verify: {reason}")


def _judge_webhooks(seen: Observation) -> Iterator[Violation]:
    for payment_id, payment in seen.recorded.items():
        missing = seen.events.get(payment_id, frozenset()) - seen.webhooks.get(payment_id, frozenset())
        if missing:
            yield Violation("I9", payment_id, f"the receiver never got its events {sorted(missing)}")
        if payment.undelivered:
            yield Violation("I9", payment_id, f"{payment.undelivered} deliveries are open")
