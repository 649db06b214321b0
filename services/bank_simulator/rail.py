"""What differs between the rails that a bank can be reached by: paths, and how messages look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.bank_simulator.request import Answer, Request
from services.banks.messages import SettlementLine


class NotReadable(Exception):
    """The message is not one of this rail's."""

    code = "message-malformed"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the rail takes requests that move money, questions about them, and questions about settlement."""

    moves: str
    inquiries: str
    settlement: str


@dataclass(frozen=True, slots=True)
class Page:
    """Which lines of the settlement file are asked for."""

    after_line: int
    lines_max: int


class Rail(Protocol):
    """One rail. Every reader raises `NotReadable`, and tells the bank that the message names, if it does."""

    paths: Paths

    def read_move(self, body: bytes) -> tuple[str | None, Request]:
        """A request to move money."""
        ...

    def read_inquiry(self, body: bytes) -> tuple[str | None, str]:
        """Which attempt is asked about."""
        ...

    def read_page(self, body: bytes) -> tuple[str | None, Page]:
        """Which settlement lines are asked for."""
        ...

    def write_answer(self, attempt_id: str, answer: Answer | None, off: int) -> bytes:
        """What the bank says; None: it does not find the attempt. `off` falsifies the amount, in the smallest
        units that the rail can write.
        """
        ...

    def write_page(self, lines: Sequence[SettlementLine]) -> bytes:
        """Settlement lines."""
        ...
