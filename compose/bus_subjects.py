"""What a caller of the bus may publish and hear, from the streams that it fills or reads (pure).

A subscriber declares `reads = "STREAM"`: it may make, look at and pull the one consumer that has its name,
and acknowledge what came to it; and one more, which it may delete, to read again what it has lost. It cannot
delete the first, make another, read past them, or reach a stream of another class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

# The class of data that a stream holds; a hop to it declares that class and no other.
STREAMS: Final[Mapping[str, str]] = MappingProxyType({"EVENTS": "event", "FACTS": "fact"})

REPLAY_SUFFIX: Final = "-replay"


def subjects_of(caller: str, reads: str, fills: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the subjects that a caller may publish to, and those that it may subscribe to.

    Args:
        caller: The workload; its consumers and its inbox have its name.
        reads: The stream that it subscribes to; empty if it does not.
        fills: The streams that it keeps.
    """
    publish: list[str] = []
    for stream in fills:
        publish += [f"$JS.API.STREAM.{act}.{stream}" for act in ("CREATE", "UPDATE", "INFO", "MSG.GET")]
        publish.append(f"$JS.API.CONSUMER.INFO.{stream}.*")
    for consumer in (caller, caller + REPLAY_SUFFIX) if reads else ():
        publish += [f"$JS.API.CONSUMER.{act}.{reads}.{consumer}" for act in ("CREATE", "INFO", "MSG.NEXT")]
        publish.append(f"$JS.ACK.{reads}.{consumer}.>")
    if reads:
        publish.append(f"$JS.API.CONSUMER.DELETE.{reads}.{caller}{REPLAY_SUFFIX}")
    return tuple(publish), ((f"_INBOX_{caller}.>",) if publish else ())


def faults_of(title: str, entry: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the streams of a hop."""
    named = [*([entry["reads"]] if "reads" in entry else []), *entry.get("fills", [])]
    if not named:
        return []
    faults = [] if entry.get("protocol") == "nats" else [f"{title}: streams are of the bus"]
    faults += [f"{title}: there is no stream {stream}" for stream in named if stream not in STREAMS]
    classes = {STREAMS[stream] for stream in named if stream in STREAMS}
    if classes != set(entry.get("data", [])):
        faults.append(f"{title}: its streams hold {', '.join(sorted(classes))}, and data says otherwise")
    return faults
