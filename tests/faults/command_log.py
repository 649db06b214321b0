"""What was asked for after a payment was accepted, and what was said to it: on disk before it counts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tests.faults.client_log import append_line, open_log

Action: TypeAlias = Literal["capture", "void", "refund", "cancel", "approve", "reject"]

APPLIED: Final = "applied"


@dataclass(frozen=True, slots=True)
class Command:
    """One command that was taken.

    Attributes:
        subject_id: what it is about: the payment, or one of its refunds.
        amount_minor: as it was asked; None means the whole, or that there is none.
        source, source_id: the name under which the mailbox keeps it.
        result: what the engine said: `applied`, or `refused: <code>`.
    """

    action: Action
    payment_id: str
    subject_id: str
    by: str
    amount_minor: int | None = None
    source: str = ""
    source_id: str = ""
    result: str = APPLIED

    @property
    def applied(self) -> bool:
        """Whether the engine did it."""
        return self.result == APPLIED


class CommandLog:
    """Every command that was taken, one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_log(path)

    def write(self, command: Command) -> None:
        append_line(self._descriptor, asdict(command))

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> list[Command]:
        """All of them, oldest first."""
        return [Command(**json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]
