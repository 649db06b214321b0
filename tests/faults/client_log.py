"""What a merchant was promised, on the merchant's own disk before it counts: every 202, one line each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

PAYMENTS_PATH: Final = "/v1/payments"


@dataclass(frozen=True, slots=True)
class Promise:
    """One 202.

    Attributes:
        payment_id: what was made: the payment, or a command about one, by its request's id.
        path: where it was sent to.
        request_body: as it was signed; with the idempotency key it is all that a repeat needs.
        response_body: as it came.
    """

    payment_id: str
    idempotency_key: str
    request_body: str
    status: int
    response_body: str
    path: str = PAYMENTS_PATH

    @property
    def made_id(self) -> str:
        """The id of what the answer tells of: the payment, the refund, or the request that asked."""
        return made_id(self.response_body)

    @property
    def is_payment(self) -> bool:
        """Whether a payment was accepted, and not a command about one."""
        return self.path == PAYMENTS_PATH


def made_id(answer: str | bytes) -> str:
    """The id of what a 202 tells of."""
    return str(json.loads(answer)["id"])


def open_log(path: Path) -> int:
    """Open a file to append lines to; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def append_line(descriptor: int, fields: Mapping[str, Any]) -> None:
    """Write a line by one call, so that lines of several writers do not mix, and wait until it is on disk."""
    os.write(descriptor, json.dumps(fields).encode() + b"\n")
    os.fsync(descriptor)


class ClientLog:
    """Appends to one file; `write` returns when the line is on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_log(path)

    def write(self, promise: Promise) -> None:
        """Keep one promise."""
        append_line(self._descriptor, asdict(promise))

    def close(self) -> None:
        os.close(self._descriptor)


def read_client_log(path: Path) -> list[Promise]:
    """All promises, oldest first."""
    return [Promise(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
