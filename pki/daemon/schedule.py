"""When the daemon acts: which leaves are due, when it looks again, how long it backs off. Pure.

A leaf is renewed at half of its life or up to a tenth of that earlier, never later: what `status` calls due
is what the daemon has missed. By how much follows from its serial number, so that a restart changes nothing
and what was issued at once is not renewed at once. Source: SPIRE's agent, at half of the life with jitter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pki.crl import (
    INTERMEDIATE_LIST_RENEW_AFTER,
    ROOT_LIST_RENEW_AFTER,
)
from pki.profiles import BACKDATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from pki.inventory import LeafRecord

RENEW_AT_PART: Final = 0.5
JITTER_PART: Final = 0.1
# A look opens one connection to each listener; sooner than this it would be load without news.
LOOK_S_MIN: Final = 1.0
# Nobody announces an operator's change, a new policy or a consumer that fell back: looks find them.
LOOK_S_MAX: Final = 60.0
# Most commands hold the lock for a second; waiting for it took five already.
BUSY_S: Final = 2.0
# The first repetition comes while the cause may be a restart; the last interval is what a lock may be busy.
BACKOFF_S_MIN: Final = 2.0
BACKOFF_S_MAX: Final = 600.0


def jitter(serial: int) -> float:
    """Return the place of a certificate between -1 and 1, evenly spread, the same each time."""
    digest = hashlib.sha256(f"{serial:x}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1


def leaf_renewal_at(certificate: x509.Certificate) -> datetime:
    """Return when a leaf is renewed, UTC."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    earlier = JITTER_PART * (1 + jitter(certificate.serial_number)) / 2
    return begin + (end - begin) * RENEW_AT_PART * (1 - earlier)


def leaf_is_due(record: LeafRecord, issuer_end: datetime, now: datetime, *, jittered: bool) -> bool:
    """Say whether a workload needs a new leaf: old, expired, faulty and missing are all the same.

    Args:
        record: as the inventory found it.
        issuer_end: end of the issuing CA. A leaf that ends with it gains nothing by renewal, and would be
            renewed more and more often as that end comes near.
        now: UTC.
        jittered: each leaf at its own moment; else at half of its life.
    """
    leaf = record.certificate
    if leaf is None or record.faults or not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        return True
    half = leaf.not_valid_before_utc + (leaf.not_valid_after_utc - leaf.not_valid_before_utc) * RENEW_AT_PART
    return now >= (leaf_renewal_at(leaf) if jittered else half) and leaf.not_valid_after_utc < issuer_end


def list_renewal_at(found: x509.CertificateRevocationList, authority: str) -> datetime | None:
    """Return when a CA's list is signed anew, UTC; None if it names no end and so is due now."""
    end = found.next_update_utc
    if end is None:
        return None
    after = ROOT_LIST_RENEW_AFTER if authority.startswith("root-") else INTERMEDIATE_LIST_RENEW_AFTER
    return found.last_update_utc + min(after + BACKDATE, (end - found.last_update_utc) / 2)


def next_look_s(moments: Iterable[datetime], now: datetime) -> float:
    """Return how long to wait, seconds, from `LOOK_S_MIN` to `LOOK_S_MAX`.

    Args:
        moments: when something becomes due, UTC; what is past is being taken care of.
        now: UTC.
    """
    left = [(moment - now) / timedelta(seconds=1) for moment in moments if moment > now]
    return min(LOOK_S_MAX, max(LOOK_S_MIN, min(left, default=LOOK_S_MAX)))


def backoff_s(failures: int, draw: float) -> float:
    """Return how long to leave alone what failed, seconds.

    Args:
        failures: in a row, at least 1.
        draw: from 0 to 1, by chance: daemons that failed together must not try again together.
    """
    whole = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** min(failures - 1, 32))
    return whole * (0.5 + draw / 2)


@dataclass(slots=True)
class Attempts:
    """What failed, how often in a row, and until when it is left alone. All times are steady seconds."""

    _failures: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def may(self, what: str, steady_s: float) -> bool:
        """Say whether it is time to try."""
        return steady_s >= self._not_before.get(what, float("-inf"))

    def failed(self, what: str, steady_s: float, draw: float) -> float:
        """Note a failure; return how long it is left alone, seconds."""
        self._failures[what] = self._failures.get(what, 0) + 1
        wait = backoff_s(self._failures[what], draw)
        self._not_before[what] = steady_s + wait
        return wait

    def succeeded(self, what: str) -> None:
        """Forget the failures."""
        self._failures.pop(what, None)
        self._not_before.pop(what, None)

    def next_s(self, steady_s: float) -> float | None:
        """Return the seconds until the first of what failed may be tried again; None if nothing waits."""
        left = [moment - steady_s for moment in self._not_before.values() if moment > steady_s]
        return min(left, default=None)
