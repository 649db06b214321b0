"""Events as facts about nobody: what a reporting subscriber may know (pure).

No id of a payment, merchant, account, instrument or person, no reference, no exact amount and no exact time:
the hour, the size of the amount to within a factor of two, and what happened. A fact is told apart from
others by its row in the outbox, which means nothing elsewhere. Few facts of a kind can still tell of
somebody: whoever shows figures leaves out small groups (`services/reporting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from services.payments.packing import EventRow, Message, pack_as

FACTS_SUBJECT = "countermark.facts"
# A message of 1,000 facts is about 150 kB.
MESSAGE_FACTS_MAX = 1_000


def pack_facts(rows: Sequence[EventRow]) -> list[Message]:
    """Put rows into as few messages as their bound allows.

    Args:
        rows: In the outbox's order.
    """
    return pack_as(FACTS_SUBJECT, "facts", rows, fact_of, MESSAGE_FACTS_MAX)


def fact_of(row: EventRow) -> dict[str, object]:
    """Return what is left of an event.

    `band` is the number of binary digits of the amount in minor units: 11 stands for 1,024 to 2,047.
    """
    hour = row.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "row": f"{row.xid}.{row.position}",
        "type": row.type,
        "hour": hour.isoformat().replace("+00:00", "Z"),
        "kind": row.kind,
        "currency": row.currency,
        "band": row.amount_minor.bit_length(),
        "decline_code": row.decline_code,
    }
