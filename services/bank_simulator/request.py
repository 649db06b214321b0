"""What a bank is asked and what it says, whatever the rail it came by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.bank_simulator.behaviour import Operation


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt as the books keep it; the same attempt id must always come with the same content."""

    attempt_id: str
    end_to_end_id: str
    operation: Operation
    amount_minor: int
    currency: str
    instrument: str
    original_reference: str | None
    uetr: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bank says about an attempt that it has."""

    request: Request
    outcome: Literal["confirmed", "declined", "pending"]
    decline_code: str | None
    bank_reference: str


class AttemptReused(Exception):
    """An attempt id came again with other content; nothing was changed."""

    code = "attempt-reused"
