"""What crosses the hop to the banks service, and from there to a bank.

Promises: every answer repeats what it is about (attempt, payment, amount, currency), so that the caller can
check that it is the answer to its question. Both sides refuse fields that they do not know.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

ATTEMPTS_PATH = "/v1/attempts"
STATEMENT_PATH = "/v1/statement"
# The largest message is well under 1 KiB; anything larger is not one of ours.
MESSAGE_BYTES_MAX = 8 * 1024
# Part of the contract: a bank that answers has answered by then. A caller's own deadline is longer, so that
# it hears `unknown` from the connector rather than nothing.
BANK_CALL_S_MAX = 3.0
# As the database bounds it: twelve digits of minor units.
AMOUNT_MINOR_MAX = 999_999_999_999

Operation: TypeAlias = Literal["collect", "payout"]
# confirmed, declined: the bank has decided. pending: the bank has it and has not decided. unsent: it
# certainly has not got it. unknown: it may have. not_found: asked, it does not know the attempt (yet).
OutcomeName: TypeAlias = Literal["confirmed", "declined", "pending", "unsent", "unknown", "not_found"]
# Ids become parts of a path: no slash, no dot, nothing to escape.
Identifier: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
Currency: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request to move money; the same attempt id is the same request, however often it is sent.

    Attributes:
        attempt_id: The bank's idempotency key.
        bank: Workload name of the bank.
        operation: `collect` charges the instrument, `payout` pays to it.
        amount_minor: Minor units of `currency`.
        currency: ISO 4217, three capitals.
        instrument: A token; never a PAN or an IBAN.
        end_to_end_id: The payment's id.
    """

    attempt_id: Identifier
    bank: Identifier
    operation: Operation
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: Currency
    instrument: Identifier
    end_to_end_id: Identifier


class AttemptAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What came of an attempt. What it is about is present whenever the bank knows the attempt."""

    attempt_id: str
    outcome: OutcomeName
    end_to_end_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    # Printable ASCII: what a bank writes ends up in rows, logs and statements.
    bank_reference: Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,64}\Z")] | None = None
    decline_code: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,64}\Z")] | None = None


class StatementLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One movement that the bank really made."""

    attempt_id: str
    end_to_end_id: str
    operation: Operation
    amount_minor: int
    currency: str
    instrument: str
    bank_reference: str


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Movements in the order in which they were made."""

    lines: list[StatementLine]
