"""What was seen from outside, and what is found wrong with it (values only)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.client_log import Promise
from tests.faults.command_log import Command

OUTCOMES: Final = ("succeeded", "failed", "canceled", "expired")
TERMINAL_EVENTS: Final = tuple(f"payment.{outcome}" for outcome in OUTCOMES)
# What a bank does once for a payment; it may hold an amount first, and give money back later. A refund that
# bounced has come back to the merchant.
MOVES_THE_MONEY: Final = ("collect", "capture", "payout")
TAKES_BACK: Final = ("refund", "returned", "chargeback")


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of a bank's own ledger; `attempt_id` is what the engine called it."""

    bank: str
    payment_id: str
    operation: str
    amount_minor: int
    currency: str
    attempt_id: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A payment in our record.

    Attributes:
        terminal_events: how many events of its story end it.
        left_to_operator: its story says that a bank did what it had declined, and that a person is called.
        undelivered: events that the merchant's receiver has not acknowledged, as our record has it.
        captured_minor, refunded_minor: what was taken of a collect, and given back of that.
        reviewed: the fraud service wanted a person to decide.
    """

    kind: str
    status: str
    amount_minor: int
    currency: str
    terminal_events: int
    undelivered: int
    left_to_operator: bool = False
    capture_method: str = "automatic"
    captured_minor: int = 0
    refunded_minor: int = 0
    reviewed: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRefund:
    """A refund in our record.

    Attributes:
        terminal_events: how many events of its payment's story end it.
    """

    payment_id: str
    origin: str
    amount_minor: int
    status: str
    terminal_events: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen from outside when everything was quiet.

    Attributes:
        promises: the client's log of 202s.
        recorded: payment id to what the record holds.
        refunds: refund id to what the record holds.
        earlier: outcomes that were seen before, by id of the payment or refund.
        commands: the client's log of what it asked for after acceptance.
        results: source and name of a command to what the record says came of it.
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
    refunds: Mapping[str, RecordedRefund] = field(default_factory=dict)
    earlier: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[Command] = ()
    results: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
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


def refund_of(attempt_id: str) -> str:
    """The refund that an attempt to give money back is made for: `att_X_rN` is of `ref_X`."""
    return f"ref_{attempt_id.removeprefix('att_').rpartition('_')[0]}"
