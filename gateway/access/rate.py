"""How fast is too fast: the generic cell rate algorithm, a token bucket kept as one time (pure).

A bucket is the moment at which it will be empty. Each request moves that moment `step_us` further away; one
that would move it more than `depth_us` ahead is too many. All numbers are whole microseconds, so that
this module and the script in `gateway.access.shared_rates` reckon exactly alike.
Source: ITU-T I.371, annex A (GCRA, virtual scheduling); draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SECOND_US: Final = 1_000_000
# What workers admitted without knowing of each other is paid back; more than one burst of it is forgiven, so
# that nobody waits longer than twice the time in which a full bucket empties.
DEBT_BURSTS_MAX: Final = 2
# IPv6 hands out networks, not addresses: whoever has one address of a /64 has all of them (RFC 6177).
IPV6_PREFIX_BITS: Final = 64
UNKNOWN_SOURCE: Final = "unknown"
ADDRESSES_KEPT_MAX: Final = 4096  # Reading one takes 15 µs; merchants come from few. 1 MB at the most.


@dataclass(frozen=True)
class Rate:
    """What one sender may do.

    Attributes:
        policy: its name in the RateLimit fields.
        per_s: requests a second, lasting.
        burst: requests at once.

    Raises:
        ValueError: one of them is not positive, or above a million, which is finer than time is kept here.
    """

    policy: str
    per_s: int
    burst: int

    def __post_init__(self) -> None:
        if not (0 < self.per_s <= SECOND_US and 0 < self.burst <= SECOND_US):
            raise ValueError(f"the rate {self.policy} must lie between 1 and {SECOND_US}")

    @property
    def step_us(self) -> int:
        """What one request adds, microseconds, rounded up: never more than `per_s`."""
        return -(-SECOND_US // self.per_s)

    @property
    def depth_us(self) -> int:
        """How full the bucket may be, microseconds."""
        return self.burst * self.step_us

    @property
    def window_s(self) -> int:
        """In how many seconds a full bucket empties, at least 1."""
        return max(1, -(-self.depth_us // SECOND_US))


@dataclass(frozen=True)
class Verdict:
    """Whether a request may pass.

    Attributes:
        rate: what was applied.
        admitted: the answer.
        remaining: how many more would pass at this moment.
        wait_us: how long until one more passes, microseconds; 0 if one would pass now.
        backlog_us: how long until the bucket is empty, microseconds.
    """

    rate: Rate
    admitted: bool
    remaining: int
    wait_us: int
    backlog_us: int

    @property
    def retry_after_s(self) -> int:
        """Whole seconds after which asking again can help, at least 1 (RFC 9110 §10.2.3)."""
        return max(1, -(-self.wait_us // SECOND_US))


def judge(rate: Rate, empty_at_us: int, *, now_us: int) -> Verdict:
    """Tell whether one more request would pass; nothing is taken.

    Args:
        rate: the sender's.
        empty_at_us: the bucket.
        now_us: on the same clock.
    """
    backlog_us = max(0, empty_at_us - now_us)
    wait_us = max(0, backlog_us + rate.step_us - rate.depth_us)
    remaining = max(0, (rate.depth_us - backlog_us) // rate.step_us)
    return Verdict(rate, wait_us == 0, remaining, wait_us, backlog_us)


def charge(rate: Rate, empty_at_us: int, count: int, *, now_us: int) -> int:
    """Return the bucket after `count` requests that were made, whether or not they should have been."""
    filled = max(empty_at_us, now_us) + count * rate.step_us
    return min(filled, now_us + DEBT_BURSTS_MAX * rate.depth_us)


def rate_limit_fields(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Return the fields that tell a client where it stands: the policy, and what is left of it.

    `q` requests pass within `w` seconds; `r` of them are left, and all of them again after `t` seconds.
    Source: draft-ietf-httpapi-ratelimit-headers-10 §3 and §4.
    """
    rate = verdict.rate
    reset_s = -(-verdict.backlog_us // SECOND_US)
    return (
        ("RateLimit-Policy", f'"{rate.policy}";q={rate.burst};w={rate.window_s}'),
        ("RateLimit", f'"{rate.policy}";r={verdict.remaining};t={reset_s}'),
    )


def source_of(forwarded_for: Sequence[str]) -> str:
    """Return whom a request is counted for before anybody is recognised: an address or an IPv6 network.

    Args:
        forwarded_for: the values of `x-forwarded-for` as the own sidecar passed them on. The edge writes
            exactly one address, whatever came in; anything else is counted together, under one name.
    """
    return _source_at(forwarded_for[0]) if len(forwarded_for) == 1 else UNKNOWN_SOURCE


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def _source_at(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return UNKNOWN_SOURCE
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))
