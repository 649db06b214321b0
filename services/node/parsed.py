"""What a message of the bus says, as its subscriber's parser understood it (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

MESSAGE_BYTES_MAX = 1024 * 1024  # The bus's own limit for one message (max_payload).

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[ItemT]):
    """What a message says.

    Attributes:
        items: In its order.
        refused: Why something in it was left out, for each such thing: what one publishes for many must not
            lose all of it for one.
    """

    items: list[ItemT]
    refused: list[str] = field(default_factory=list)
