"""What the outbox is published as: one stream of the bus for each class of data, and who reads it.

A subscriber is given the stream of its class and cannot ask for another: the bus maps its certificate to the
subjects that mesh.toml lists. What a class may not see is never in its stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.node.pacing import Pace
from services.payments.facts import FACTS_SUBJECT, pack_facts
from services.payments.packing import EVENTS_SUBJECT, EventRow, Message, pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """One stream.

    Attributes:
        stream: Its name.
        subjects: That it keeps.
        pack: Rows of the outbox to messages.
        bytes_max: Size of the stream. The oldest messages go first, and only after every subscriber has
            acknowledged them. No age limit, because the last message is the relay's memory.
        gathering: How long rows wait for others: at least as long as an idle relay sleeps, and so many times
            as long as the last ones took to publish. The bus makes each message durable by itself.
        subscribers: Who must not miss anything; a consumer that does not exist yet has read nothing.
    """

    stream: str
    subjects: tuple[str, ...]
    pack: Callable[[Sequence[EventRow]], list[Message]]
    bytes_max: int
    gathering: Pace
    subscribers: tuple[str, ...] = ()


# Whole events, for who acts for merchants.
EVENTS = Outlet(
    stream="EVENTS",
    subjects=(EVENTS_SUBJECT,),
    pack=pack,
    bytes_max=512 * 1024 * 1024,  # Half of the bus's disk.
    gathering=Pace(factor=3.0, rest_s_max=0.25, rest_s_min=0.02),
)
# Facts about nobody, for who counts: everything that came together is one message.
FACTS = Outlet(
    stream="FACTS",
    subjects=(FACTS_SUBJECT,),
    pack=pack_facts,
    bytes_max=128 * 1024 * 1024,
    gathering=Pace(factor=3.0, rest_s_max=2.0, rest_s_min=1.0),
)


def outlets_for(subscribers: Mapping[str, Sequence[str]]) -> list[Outlet]:
    """Return the streams that are published.

    Args:
        subscribers: Names of durable consumers by stream; a stream that nobody reads is not published.

    Raises:
        ValueError: A stream that does not exist.
    """
    known = {outlet.stream: outlet for outlet in (EVENTS, FACTS)}
    if unknown := subscribers.keys() - known.keys():
        raise ValueError(f"there is no stream {sorted(unknown)}: streams are {sorted(known)}")
    return [
        replace(outlet, subscribers=tuple(subscribers[outlet.stream]))
        for outlet in known.values()
        if subscribers.get(outlet.stream)
    ]
