"""The inventory as an operator reads it and as a program does: a table in plain lines, or JSON fields.

Each line stands by itself, so that `grep` and a ticket can hold it; what is unknown says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pki.compliance import REQUIREMENTS, SCOPE, STANDARD, facts_for
from pki.inventory_findings import InventoryFinding
from pki.inventory_reading import KeyFile
from pki.inventory_report import PAST, InventoryRow
from pki.ledger_history import LedgerHistory
from pki.printable import printable

UNKNOWN = "unknown"
_GROUPS = {"leaf": "workloads", "probe": "probes"}
# A policy or a ledger head is recognised by its first digits; the whole is in the JSON.
DIGEST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class RowWords:
    """One row in words, for print and page alike."""

    serial: str
    issuer: str
    begins: str
    ends: str
    holder: str
    custody: str
    rotated: str
    policy: str
    revoked: str
    recorded: str
    on_wire: str
    place: str


def row_words(row: InventoryRow) -> RowWords:
    """Return a row in words; what is None is "unknown"."""
    return RowWords(
        serial=row.serial or UNKNOWN,
        issuer="itself" if row.issuer == row.subject and row.issuer else row.issuer or UNKNOWN,
        begins=_moment(row.not_before),
        ends=_moment(row.not_after),
        holder=_holder(row),
        custody=row.custody or UNKNOWN,
        rotated=_moment(row.rotated),
        policy=row.policy or UNKNOWN,
        revoked=_revoked(row),
        recorded=_answer(row.recorded),
        on_wire=_answer(row.on_wire),
        place=row.place or "in the ledger alone",
    )


def key_words(key: KeyFile | None) -> str:
    """Return who can read a key's file, like `cm-gateway:cm-gateway 1001:1001 0640`."""
    if key is None:
        return UNKNOWN
    return f"{key.account or UNKNOWN}:{key.group or UNKNOWN} {key.uid}:{key.gid} {key.mode:04o}"


def short_digest(digest: str) -> str:
    """Return the first digits of a digest; a word stays as it is."""
    return f"{digest[:DIGEST_SHOWN]}…" if len(digest) > DIGEST_SHOWN else digest


def inventory_fields(
    rows: Iterable[InventoryRow], findings: Iterable[InventoryFinding], history: LedgerHistory
) -> dict[str, Any]:
    """Return the whole inventory as JSON fields, with the mapping and its scope."""
    return {
        "standard": STANDARD,
        "scope": list(SCOPE),
        "ledger": {
            "verified": history.fault is None,
            "fault": history.fault,
            "lines": history.head.seq,
            "head": history.head.digest,
        },
        "findings": [
            {
                "code": finding.code,
                "subject": finding.subject,
                "level": finding.level.name.lower(),
                "sentence": finding.sentence,
                "touches": list(finding.requirements),
            }
            for finding in findings
        ],
        "certificates": [_row_fields(row) for row in rows],
        "rotations": [
            {
                "kind": rotation.kind or UNKNOWN,
                "began": _iso(rotation.began),
                "ended": "not ended" if rotation.ended is None else _iso(rotation.ended),
                "outcome": rotation.outcome or UNKNOWN,
                "stages": [{"stage": stage, "at": _iso(at)} for stage, at in rotation.stages],
                "actor": rotation.actor or UNKNOWN,
                "command": rotation.command or UNKNOWN,
            }
            for rotation in history.rotations
        ],
        "requirements": [
            {
                "number": requirement.number,
                "asks": requirement.asks,
                "applies": "literally" if requirement.literal else "by policy",
                "evidence": [fact.value for fact in facts_for(requirement.number)],
            }
            for requirement in REQUIREMENTS
        ],
    }


def print_inventory(
    rows: Sequence[InventoryRow], findings: Sequence[InventoryFinding], *, everything: bool
) -> None:
    """Print the inventory: scope, certificates, findings.

    Args:
        rows: from `inventory_rows`.
        findings: from `inventory_findings`.
        everything: also those that the ledger alone knows and that are past: a line tells how many otherwise.
    """
    for line in inventory_lines(rows, findings, everything=everything):
        print(printable(line))


def inventory_lines(
    rows: Sequence[InventoryRow], findings: Sequence[InventoryFinding], *, everything: bool
) -> list[str]:
    """Return what `print_inventory` prints."""
    shown = [row for row in rows if everything or _is_of_interest(row)]
    lines = [f"Evidence for {STANDARD}:", *(f"  {sentence}" for sentence in SCOPE)]
    heading = ""
    for row in shown:
        group = _GROUPS.get(row.role, "certificate authorities")
        if group != heading:
            lines += ["", group, "-" * len(group)]
            heading = group
        lines += _row_lines(row)
    if len(shown) < len(rows):
        left_out = f"and {len(rows) - len(shown)} probes and certificates of the past"
        lines += ["", f"{left_out}, which the ledger alone knows (--all shows them)"]
    lines += ["", "findings", "--------"]
    lines += [
        f"{'×' if finding.level.name == 'CRITICAL' else '!'} {finding.sentence}  "
        f"[{finding.code}; touches {', '.join(finding.requirements)}]"
        for finding in findings
    ]
    if not findings:
        lines.append("√ disk and ledger agree, and no key lies open")
    return lines


def _is_of_interest(row: InventoryRow) -> bool:
    return row.place is not None or (row.state not in PAST and row.role != "probe")


def _row_lines(row: InventoryRow) -> list[str]:
    """Return one certificate as a block of short lines: what a screen of 110 columns and a pager can hold."""
    words = row_words(row)
    held = f"held by {words.holder}" if row.place is not None else words.place
    if row.place is not None and words.holder == "destroyed":
        held = "its key is destroyed"
    known = f"in the ledger {words.recorded}; on the wire {words.on_wire}"
    return [
        f"{row.subject or UNKNOWN}  ({row.role}, {row.state})",
        f"    valid         {words.begins} to {words.ends}, last rotated {words.rotated}",
        f"    issued by     {words.issuer}, serial {words.serial}",
        f"    {held}",
        f"    revoked {words.revoked}; {known}; policy {short_digest(words.policy)}",
        f"    evidence for  {', '.join(row.requirements)}",
    ]


def _row_fields(row: InventoryRow) -> dict[str, Any]:
    words = row_words(row)
    key = row.key
    return {
        "role": row.role,
        "subject": row.subject or UNKNOWN,
        "spiffe_id": UNKNOWN if row.spiffe_id is None else row.spiffe_id or None,
        "state": row.state,
        "serial": words.serial,
        "issuer": row.issuer or UNKNOWN,
        "not_before": _iso(row.not_before),
        "not_after": _iso(row.not_after),
        "key_file": UNKNOWN
        if key is None
        else {
            "account": key.account or UNKNOWN,
            "group": key.group or UNKNOWN,
            "uid": key.uid,
            "gid": key.gid,
            "mode": f"{key.mode:04o}",
        },
        "custody": words.custody,
        "last_rotated": _iso(row.rotated),
        "policy": words.policy,
        "revoked": words.revoked
        if row.revoked is None
        else {"at": _iso(row.revoked.at), "reason": row.revoked.reason or UNKNOWN},
        "in_ledger": words.recorded,
        "on_wire": words.on_wire,
        "place": words.place,
        "spki_sha256": row.spki_sha256 or UNKNOWN,
        "certificate_sha256": row.certificate_sha256 or UNKNOWN,
        "evidence_for": list(row.requirements),
    }


def _holder(row: InventoryRow) -> str:
    if row.key is None:
        return row.custody or UNKNOWN
    return f"{key_words(row.key)}, {row.custody or UNKNOWN}"


def _revoked(row: InventoryRow) -> str:
    if row.revoked is not None:
        return f"{_moment(row.revoked.at)}, {row.revoked.reason or UNKNOWN}"
    return UNKNOWN if row.recorded is None else "no"


def _answer(known: bool | None) -> str:
    return UNKNOWN if known is None else "yes" if known else "no"


def _moment(instant: datetime | None) -> str:
    return UNKNOWN if instant is None else f"{instant:%Y-%m-%d %H:%M}Z"


def _iso(instant: datetime | None) -> str:
    return UNKNOWN if instant is None else instant.isoformat()
