"""Parse one message of the bus into facts (pure).

A message is believed only as a whole. A field that nobody agreed on refuses it: a fact about somebody must
not slip in by an addition at the publisher's side.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from services.node.errors import MessageMalformed
from services.node.parsed import MESSAGE_BYTES_MAX, Parsed

SUBJECT = "countermark.facts"
FACTS_MAX = 1_000  # What the relay puts into one message at the most.

_XID_MAX = 2**63 - 1


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event without anybody in it.

    Attributes:
        row: `<transaction>.<place>` in the outbox, which tells it from all others.
        hour: In which it happened; whole hours alone.
        band: Binary digits of the amount in minor units.
    """

    row: Annotated[str, msgspec.Meta(pattern=r"\A(?:0|[1-9][0-9]{0,18})\.[1-9][0-9]{0,18}\Z")]
    type: Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,64}\.[a-z_]{1,64}\Z")]
    hour: Annotated[datetime, msgspec.Meta(tz=True)]
    kind: Annotated[str, msgspec.Meta(pattern=r"\A[a-z_]{1,32}\Z")]
    currency: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
    band: Annotated[int, msgspec.Meta(ge=1, le=63)]
    decline_code: Annotated[str, msgspec.Meta(pattern=r"\A[a-z_0-9]{1,64}\Z")] | None

    def __post_init__(self) -> None:
        """Refuse an exact time, and a place that the record cannot have."""
        if self.hour.utcoffset() or self.hour.minute or self.hour.second or self.hour.microsecond:
            raise ValueError("a fact has the hour alone")
        if max(self.place) > _XID_MAX:
            raise ValueError("a fact's row is beyond the record")

    @property
    def place(self) -> tuple[int, int]:
        """Transaction, and place within the outbox."""
        xid, _, position = self.row.partition(".")
        return int(xid), int(position)


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    facts: Annotated[list[Fact], msgspec.Meta(min_length=1, max_length=FACTS_MAX)]


_decoder = msgspec.json.Decoder(_Message, strict=True)


def parse_message(subject: str, data: bytes) -> Parsed[Fact]:
    """Return the message's facts in order.

    Raises:
        MessageMalformed: It is anything else; what it holds is not repeated.
    """
    if subject != SUBJECT:
        raise MessageMalformed("the subject is not that of facts")
    if len(data) > MESSAGE_BYTES_MAX:
        raise MessageMalformed(f"the message is larger than {MESSAGE_BYTES_MAX} bytes")
    try:
        return Parsed(_decoder.decode(data).facts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise MessageMalformed("the message is not a list of facts and nothing else") from fault
