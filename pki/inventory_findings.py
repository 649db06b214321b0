"""What is wrong with an inventory: where disk, ledger and wire disagree, and keys that should not be. Pure.

A finding never says "not compliant": it names the requirements that an assessor will ask about.
Source: the finding ids of the PCI DSS mapping in `compliance`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pki.inventory_report import InventoryRow
from pki.ledger_history import LedgerHistory
from pki.status import Level

# A leaf's key may be readable by its workload's group; a CA's sealed key by its owner alone.
_OPEN_BITS = {"leaf": 0o037, "intermediate": 0o077, "root": 0o077}


@dataclass(frozen=True, slots=True)
class InventoryFinding:
    """One thing that is not as it must be.

    Attributes:
        code: stable, kebab-case.
        subject: workload, CA or "ledger".
        sentence: what is wrong and what to do.
        level: due or critical.
        requirements: numbers of the requirements that it touches.
    """

    code: str
    subject: str
    sentence: str
    level: Level
    requirements: tuple[str, ...]


def inventory_findings(
    rows: Sequence[InventoryRow], history: LedgerHistory, now: datetime, wire: Mapping[str, str] | None = None
) -> list[InventoryFinding]:
    """Return everything that is wrong, in the order of the rows.

    Args:
        rows: from `inventory_rows`.
        history: of the ledger.
        now: UTC.
        wire: workload to the serial number (hex) that it was seen to present; None if nobody looked.
    """
    findings = []
    if history.fault is not None:
        findings.append(
            InventoryFinding(
                "ledger-broken",
                "ledger",
                f"{history.fault}: keep the file as evidence, and restore it from where its head was kept",
                Level.CRITICAL,
                ("10.3.4",),
            )
        )
    for row in rows:
        if row.place is not None:
            findings += _row_findings(row, history)
            findings += _use_findings(row, rows, now)
    return [*findings, *_shared(rows), *_wire_findings(rows, wire or {})]


def _row_findings(row: InventoryRow, history: LedgerHistory) -> Iterator[InventoryFinding]:
    subject, place = row.subject or "unknown", row.place

    def critical(code: str, sentence: str, *requirements: str) -> InventoryFinding:
        return InventoryFinding(code, subject, sentence, Level.CRITICAL, requirements)

    if row.serial is None:
        yield critical(
            "unreadable", f"{place} holds no certificate that can be read: issue it anew", "4.2.1.1"
        )
        return
    entry = history.issued.get(row.serial)
    if row.recorded is False:
        yield critical(
            "not-in-ledger",
            f"{place} holds serial number {row.serial}, which is not in the ledger: lines were cut off, or "
            "it was issued off the record; find out which, then issue it anew",
            "3.7.7", "4.2.1.1",
        )  # fmt: skip
    elif entry is not None and entry.certificate_sha256 not in (None, row.certificate_sha256):
        yield critical(
            "substituted",
            f"{place} holds another certificate than the one that was recorded under its serial number: keep "
            "it as evidence, then issue it anew",
            "3.7.7", "11.5.2",
        )  # fmt: skip
    if row.issuer is None:
        yield critical(
            "issuer-unknown",
            f"{place} was not signed by any CA of this tree: issue it anew",
            "4.2.1", "4.2.1.1",
        )  # fmt: skip
    if row.key is not None and row.key.mode & _OPEN_BITS[row.role]:
        yield critical(
            "key-exposed",
            f"the key in {place} has mode {row.key.mode:04o}: make it private with chmod, then renew it",
            "3.6.1", "3.7.3",
        )  # fmt: skip


def _use_findings(
    row: InventoryRow, rows: Sequence[InventoryRow], now: datetime
) -> Iterator[InventoryFinding]:
    subject = row.subject or "unknown"
    in_use = row.state in ("trusted", "issuing", "current")
    if in_use and row.not_after is not None and row.not_after <= now:
        yield InventoryFinding(
            "expired-in-use", subject, f"{row.place} has expired and is still in use: replace it",
            Level.CRITICAL, ("3.7.5", "4.2.1"),
        )  # fmt: skip
    if in_use and row.revoked is not None:
        yield InventoryFinding(
            "revoked-in-use", subject, f"{row.place} was revoked and is still in use: replace it",
            Level.CRITICAL, ("3.7.5", "4.2.1"),
        )  # fmt: skip
    if row.state == "retired" and row.key is not None and not _has_valid_issue(row, rows, now):
        yield InventoryFinding(
            "retired-key-present", subject,
            f"the key in {row.place} is of a retired CA below which nothing is valid any more: destroy it",
            Level.DUE, ("3.7.5",),
        )  # fmt: skip


def _has_valid_issue(authority: InventoryRow, rows: Sequence[InventoryRow], now: datetime) -> bool:
    return any(
        row.issuer == authority.subject
        and row.subject != authority.subject
        and row.revoked is None
        and row.not_after is not None
        and row.not_after > now
        for row in rows
    )


def _shared(rows: Sequence[InventoryRow]) -> Iterator[InventoryFinding]:
    for what, code in (("key", "shared-key"), ("serial number", "shared-serial")):
        holders: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            mark = row.spki_sha256 if what == "key" else row.serial
            if mark is not None and row.subject is not None:
                holders[mark].add(row.subject)
        for names in holders.values():
            if len(names) > 1:
                yield InventoryFinding(
                    code,
                    ", ".join(sorted(names)),
                    f"{', '.join(sorted(names))} have one {what}: issue each of them anew",
                    Level.CRITICAL,
                    ("8.2.2",),
                )


def _wire_findings(rows: Sequence[InventoryRow], wire: Mapping[str, str]) -> Iterator[InventoryFinding]:
    known = {row.serial for row in rows}
    current = {row.subject: row.serial for row in rows if row.role == "leaf" and row.state == "current"}
    for name, serial in sorted(wire.items()):
        if serial not in known:
            yield InventoryFinding(
                "wire-unknown",
                name,
                f"{name} presents serial number {serial}, which is in no inventory: find out who issued it",
                Level.CRITICAL,
                ("3.7.7", "4.2.1.1"),
            )
        elif current.get(name) != serial:
            yield InventoryFinding(
                "wire-stale",
                name,
                f"{name} presents serial number {serial}, which is not its current one: make it load that",
                Level.DUE,
                ("3.7.5", "4.2.1.1"),
            )
