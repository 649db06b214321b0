"""Verdicts on an inventory: fine, due or critical, each with the time left and what to do. Pure.

A renewal is due at half of a certificate's life (a root and an intermediate earlier, by their profile);
with a sixth left, or with anything broken, it is critical: the next missed run is an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pki.profiles import INTERMEDIATE, LEAF, ROOT, Profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from pki.inventory import AuthorityRecord, Inventory, LeafRecord

# With less of its life left than this a certificate has missed several renewals.
CRITICAL_PERCENT = 100 / 6
DUE_PERCENT = 50


class Level(IntEnum):
    """A verdict; the value is the exit code of `python -m pki status`."""

    FINE = 0
    DUE = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One line of `status`.

    Attributes:
        group: heading it stands under.
        what: the thing judged.
        level: the verdict.
        until: end of validity, UTC; None where there is none.
        left_percent: of its life, 0 to 100, rounded down; None where there is no life.
        advice: what is wrong and what to do; empty when fine.
    """

    group: str
    what: str
    level: Level
    until: datetime | None
    left_percent: int | None
    advice: str


def left_percent(certificate: x509.Certificate, now: datetime) -> int:
    """Return how much of a certificate's life is left, 0 to 100, rounded down."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    left = certificate.not_valid_after_utc - now
    return max(0, min(100, int(100 * (left / life))))


def judge_validity(
    certificate: x509.Certificate, profile: Profile, now: datetime, renewal: str
) -> tuple[Level, str]:
    """Judge a certificate's age alone.

    Args:
        certificate: whose.
        profile: of its role.
        now: UTC.
        renewal: what to do when it is due, as an imperative sentence.

    Returns:
        The verdict, and the advice (empty when fine).
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        return Level.CRITICAL, "not valid yet: check this machine's clock"
    if now >= end:
        return Level.CRITICAL, f"expired: {renewal}"
    if (end - now) / (end - begin) * 100 <= CRITICAL_PERCENT:
        return Level.CRITICAL, f"about to expire: {renewal}"
    if now >= begin + min(profile.renew_after, (end - begin) * DUE_PERCENT / 100):
        return Level.DUE, f"due: {renewal}"
    return Level.FINE, ""


def leaf_verdict(leaf: LeafRecord, now: datetime) -> tuple[Level, str]:
    """Judge a workload's leaf: its faults first, then its age."""
    renewal = f"run `python -m pki issue {leaf.name}`"
    if leaf.certificate is None or leaf.faults:
        return Level.CRITICAL, f"{'; '.join(leaf.faults)}: {renewal}"
    return judge_validity(leaf.certificate, LEAF, now, renewal)


def judge(inventory: Inventory, now: datetime) -> list[StatusLine]:
    """Judge everything, authorities first, then the ledger, then the workloads by name."""
    return [
        *(_authority_line(record, now) for record in inventory.authorities),
        *(_list_line(record, now) for record in inventory.authorities if record.listed),
        *_rotation_lines(inventory),
        *_ledger_lines(inventory),
        *(_leaf_line(leaf, inventory, now) for leaf in inventory.leaves),
    ]


def worst(lines: list[StatusLine]) -> Level:
    """Return the gravest verdict of all lines."""
    return max((line.level for line in lines), default=Level.FINE)


def _authority_line(record: AuthorityRecord, now: datetime) -> StatusLine:
    profile = ROOT if record.authority.startswith("root-") else INTERMEDIATE
    level, advice = judge_validity(record.certificate, profile, now, "plan its replacement")
    if not (record.trusted or record.issuing):
        level, advice = Level.FINE, "retired: neither trusted nor issuing"
    end = record.certificate.not_valid_after_utc
    return StatusLine(
        "authority", record.authority, level, end, left_percent(record.certificate, now), advice
    )


def _list_line(record: AuthorityRecord, now: datetime) -> StatusLine:
    """Judge a revocation list: from its end on, PostgreSQL, Envoy and our own processes refuse everybody."""
    group, what = "revocation lists", f"list of {record.authority}"
    renewal = "run `python -m pki crl`"
    if record.authority.startswith("root-"):
        renewal = "run `python -m pki crl --root` with the root's custodians"
    end = record.crl.next_update_utc if record.crl is not None else None
    if record.crl is None or end is None:
        return StatusLine(group, what, Level.CRITICAL, None, None, f"missing or not a list: {renewal}")
    begin = record.crl.last_update_utc
    left = max(0, min(100, int(100 * ((end - now) / (end - begin)))))
    if now >= end:
        level, advice = Level.CRITICAL, f"expired, so peers refuse everybody: {renewal}"
    elif now < begin:
        level, advice = Level.CRITICAL, "not valid yet: check this machine's clock"
    elif left <= CRITICAL_PERCENT:
        level, advice = Level.CRITICAL, f"about to expire: {renewal}"
    elif left <= DUE_PERCENT:
        level, advice = Level.DUE, f"due: {renewal}"
    else:
        level, advice = Level.FINE, _named(len(record.crl))
    return StatusLine(group, what, level, end, left, advice)


def _named(count: int) -> str:
    return "" if count == 0 else f"names {count} certificate{'s' if count > 1 else ''}"


def _rotation_lines(inventory: Inventory) -> Iterator[StatusLine]:
    rotation = inventory.rotation
    if rotation is not None:
        way = "on its way back at" if rotation.reverting else "at"
        advice = (
            f"began {rotation.began[:16]}Z: go on with `python -m pki rotate {rotation.kind} --resume`, "
            f"or back with --rollback"
        )
        what = f"{rotation.kind}, {way} stage {rotation.stage}"
        yield StatusLine("rotation", what, Level.DUE, None, None, advice)


def _ledger_lines(inventory: Inventory) -> Iterator[StatusLine]:
    ledger = inventory.ledger
    if isinstance(ledger, str):
        yield StatusLine(
            "ledger", "chain", Level.CRITICAL, None, None, f"{ledger}: keep the file as evidence"
        )
        return
    head = f"head {ledger.head.seq} {ledger.head.digest[:16]}"
    yield StatusLine("ledger", head, Level.FINE, None, None, "")
    for number in ledger.unfinished:
        advice = "an issuance was interrupted here; if the workload below is fine, nothing is left to do"
        yield StatusLine("ledger", f"line {number}", Level.FINE, None, None, advice)


def _leaf_line(leaf: LeafRecord, inventory: Inventory, now: datetime) -> StatusLine:
    level, advice = leaf_verdict(leaf, now)
    if leaf.certificate is None:
        return StatusLine("workloads", leaf.name, level, None, None, advice)
    recorded = (
        isinstance(inventory.ledger, str) or f"{leaf.certificate.serial_number:x}" in inventory.ledger.issued
    )
    if not recorded:
        level = Level.CRITICAL
        advice = "its serial number is not in the ledger: lines were cut off, or it was issued off the record"
    elif leaf.faults and inventory.rotation is not None:
        advice = f"{'; '.join(leaf.faults)}: finish the rotation that is under way, or go back"
    end = leaf.certificate.not_valid_after_utc
    return StatusLine("workloads", leaf.name, level, end, left_percent(leaf.certificate, now), advice)
