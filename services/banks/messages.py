"""What crosses the hop to the banks service, and from there to a bank that speaks these words itself.

Promises: every answer repeats what it is about (attempt, payment, amount, currency), so that the caller can
check that it is the answer to its question. Both sides refuse fields that they do not know. Everything is
POST: a client may repeat any other method by itself when a connection drops.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

ATTEMPTS_PATH = "/v1/attempts"
INQUIRIES_PATH = "/v1/inquiries"
SETTLEMENT_PATH = "/v1/settlement"
STATEMENT_PATH = "/v1/statement"
# Toward a bank: the attempt's id. The same key is the same request, however often it comes.
IDEMPOTENCY_HEADER = "idempotency-key"
# The largest request is well under 1 KiB; anything larger is not one of ours.
MESSAGE_BYTES_MAX = 8 * 1024
# Part of the contract: a bank that answers has answered by then. A caller's own deadline is longer, so that
# it hears `unknown` from the connector rather than nothing.
BANK_CALL_S_MAX = 3.0
# As the database bounds it: twelve digits of minor units.
AMOUNT_MINOR_MAX = 999_999_999_999
# A page of a settlement file: 500 bytes a line leave it half of what one answer may have.
SETTLEMENT_LINES_MAX = 1_000
# Lines are numbered from 1 for ever; JSON readers elsewhere are exact up to here.
LINE_MAX = 2**53 - 1

# collect: charge at once. authorise, capture, void: a card in two steps. payout: pay out. refund: give back.
Operation: TypeAlias = Literal["collect", "authorise", "capture", "void", "payout", "refund"]
# What refers to an earlier attempt, by the bank's own reference of it.
FOLLOWING: frozenset[Operation] = frozenset({"capture", "void", "refund"})
# confirmed, declined: the bank has decided. pending: the bank has it and has not decided. unsent: it
# certainly has not got it. unknown: it may have. not_found: asked, it does not know the attempt (yet).
OutcomeName: TypeAlias = Literal["confirmed", "declined", "pending", "unsent", "unknown", "not_found"]
# What moved money. bounced: a refund came back to us. returned, chargeback: money was taken back from us.
Movement: TypeAlias = Literal["collect", "capture", "payout", "refund", "bounced", "returned", "chargeback"]
# Ids end up in paths, rows and logs: no slash, no dot, nothing to escape.
Identifier: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
Currency: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
AmountMinor: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
# A version 4 UUID in lower case, as ISO 20022 writes the Unique End-to-end Transaction Reference.
Uetr: TypeAlias = Annotated[
    str,
    msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"),
]
# Printable ASCII: what a bank writes ends up in rows, logs and statements.
BankReference: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,64}\Z")]
DeclineCode: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
# ISO 8601; whether the month has that many days is for whoever reckons with it.
ValueDate: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")
]


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One request to move money; the same attempt id is the same request, however often it is sent.

    Attributes:
        attempt_id: The bank's idempotency key.
        bank: Workload name of the bank.
        operation: What is done with the instrument; see `Operation`.
        amount_minor: Minor units of `currency`, as ISO 4217 counts them.
        currency: ISO 4217, three capitals.
        instrument: A token; never a PAN or an IBAN.
        end_to_end_id: The payment's id.
        uetr: The attempt's name in every scheme, a UUID that follows from its id.
        original_reference: The bank's reference of what is captured, voided or refunded; else None.
    """

    attempt_id: Identifier
    bank: Identifier
    operation: Operation
    amount_minor: AmountMinor
    currency: Currency
    instrument: Identifier
    end_to_end_id: Identifier
    uetr: Uetr
    original_reference: BankReference | None = None


class Inquiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of an attempt? Asking never moves money."""

    bank: Identifier
    attempt_id: Identifier


class AttemptAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What came of an attempt. What it is about is present whenever the bank knows the attempt.

    Attributes:
        alarm: Why the banks service did not believe what the bank said, for an operator; only with
            `unknown`, and never written by a bank.
    """

    attempt_id: Identifier
    outcome: OutcomeName
    end_to_end_id: Identifier | None = None
    amount_minor: AmountMinor | None = None
    currency: Currency | None = None
    bank_reference: BankReference | None = None
    decline_code: DeclineCode | None = None
    alarm: Annotated[str, msgspec.Meta(pattern=r"\A[\x20-\x7e]{1,200}\Z")] | None = None


class SettlementAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for the next lines of a bank's settlement file.

    Attributes:
        after_line: The last line that is known; 0 from the start.
    """

    bank: Identifier
    after_line: Annotated[int, msgspec.Meta(ge=0, le=LINE_MAX)]
    lines_max: Annotated[int, msgspec.Meta(ge=1, le=SETTLEMENT_LINES_MAX)] = SETTLEMENT_LINES_MAX


class SettlementLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of what the bank says it settles; it never changes.

    Attributes:
        line: Rises from line to line, with gaps or without.
        amount_minor: What moved, before the fee.
        fee_minor: What the bank keeps for it.
        value_date: The day from which the money counts.
    """

    line: Annotated[int, msgspec.Meta(ge=1, le=LINE_MAX)]
    attempt_id: Identifier
    end_to_end_id: Identifier
    operation: Movement
    amount_minor: Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]
    fee_minor: Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]
    currency: Currency
    bank_reference: BankReference
    value_date: ValueDate


class SettlementPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines in rising order, all after the one asked for; none: there are no more by now."""

    lines: Annotated[list[SettlementLine], msgspec.Meta(max_length=SETTLEMENT_LINES_MAX)]


class StatementLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One movement that the bank really made."""

    attempt_id: str
    end_to_end_id: str
    operation: str
    amount_minor: int
    currency: str
    instrument: str
    bank_reference: str


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Movements in the order in which they were made."""

    lines: list[StatementLine]
