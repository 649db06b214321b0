"""When each phase of a connection's end begins, so that none becomes older than the bound (pure).

A rotation is complete once no connection of before is left, and it waits for exactly `connection_age_s_max`:
the bound holds for idle connections, for busy ones and for one that hangs in the middle of a request.
Order: no new work is invited → idle ones are closed → what is under way is cut → the socket is closed.
"""

from __future__ import annotations

from dataclasses import dataclass

# A request under way keeps its connection; with the demonstration's bound of 10 s this is 4.2 s, which is
# above every hop's own deadline (4 s), and with 300 s it is the limit below.
STREAM_SHARE = 0.42
STREAM_S_MAX = 30.0  # Above every hop's own deadline: the callers decide, Envoy only cleans up.
DRAIN_SHARE = (
    0.1  # While it lasts, answers tell the peer to leave, so that hardly one is cut while it writes.
)
DRAIN_S_MAX = 5.0
CLOSE_SHARE = 0.02  # For the peer to read the end before the socket goes.
CLOSE_S_MAX = 1.0
LATE_SHARE = 0.03  # Timers are late on a busy host; what is a bound is not met to the millisecond.
BEGIN_SHARE = 0.7  # Where the bound leaves room; connections are not renewed more often than they must be.


@dataclass(frozen=True)
class ConnectionAge:
    """The phases of one bound, seconds.

    Attributes:
        begin_s: age at which the end begins: GOAWAY, `connection: close`, no new requests from our side.
        drain_s: how long after that an idle connection is closed.
        stream_s: how long one request may take, from its first byte.
        close_s: how long the socket may linger for a peer that does not close.
    """

    begin_s: float
    drain_s: float
    stream_s: float
    close_s: float


def phases_of(connection_age_s_max: float) -> ConnectionAge:
    """Divide the bound; the phases together stay a little below it."""
    stream_s = min(STREAM_S_MAX, STREAM_SHARE * connection_age_s_max)
    drain_s = min(DRAIN_S_MAX, DRAIN_SHARE * connection_age_s_max)
    close_s = min(CLOSE_S_MAX, CLOSE_SHARE * connection_age_s_max)
    room_s = (1 - LATE_SHARE) * connection_age_s_max - stream_s - drain_s - close_s
    return ConnectionAge(min(BEGIN_SHARE * connection_age_s_max, room_s), drain_s, stream_s, close_s)
