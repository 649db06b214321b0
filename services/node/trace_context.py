"""The trace of a payment follows from the payment's id (pure).

Every process that knows a payment derives the same trace id and the same root, so nothing about tracing is
stored, handed on in batches or lost in a crash: it survives the database, because it is a function of what is
there. Nor does anybody outside choose it; a sender's own `traceparent` is told as a link.
Source: W3C Trace Context §3.2.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}", re.ASCII)
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_SHARES: Final = 1 << 56  # W3C: the last 56 bits of a trace id are what a sampling decision may rest on.


def trace_id_of(payment_id: str) -> int:
    """Return the trace id, never 0, of one payment."""
    return _derive("trace", payment_id, _TRACE_ID_BYTES)


def span_id_of(part: str, name: str) -> int:
    """Return the id of a span that others name as their parent, never 0.

    Args:
        part: what it is of: `payment` for the root, `attempt` for a call of a bank.
        name: the id of that.
    """
    return _derive(part, name, _SPAN_ID_BYTES)


def root_span_id_of(payment_id: str) -> int:
    """Return the id of the span that all others of this payment are below."""
    return span_id_of("payment", payment_id)


def is_sampled(trace_id: int, share: float) -> bool:
    """Whether this trace is among the share that is told; every process decides alike.

    Args:
        share: 0 to 1.
    """
    return trace_id % _SHARES < share * _SHARES


def traceparent(trace_id: int, span_id: int) -> str:
    """Return the header's value for a sampled span."""
    return f"00-{trace_id:032x}-{span_id:016x}-01"


def parse_traceparent(values: list[str]) -> tuple[int, int] | None:
    """Return trace and span id of a header that came exactly once and is of its form; else None."""
    match = _FORM.fullmatch(values[0]) if len(values) == 1 else None
    return None if match is None else (int(match[1], 16), int(match[2], 16))


def _derive(part: str, name: str, octets: int) -> int:
    digest = hashlib.sha256(f"countermark-{part}\n{name}".encode()).digest()
    return int.from_bytes(digest[:octets], "big") or 1
