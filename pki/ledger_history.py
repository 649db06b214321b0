"""What the issuance ledger tells a reader: who was issued what, what was revoked, which rotations ran. Pure.

Nothing is taken from a ledger whose chain does not verify. Lines of before a field existed lack it; that is
"unknown", and never an error: a ledger outlives the program that began it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pki.errors import LedgerError
from pki.ledger import LedgerHead, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class IssuedEntry:
    """One certificate that was signed; None where no line says.

    Attributes:
        serial: hex.
        role: "root", "intermediate" or "leaf".
        subject: SPIFFE id of a leaf, trust domain of a CA.
        spki_sha256: hex digest of the subject's key.
        issuer_spki_sha256: hex digest of the signer's key.
        certificate_sha256: hex digest of the certificate.
        not_before: UTC.
        not_after: UTC.
        issued: time of the line, UTC.
        line: sequence number of that line.
        actor: who ran the command.
        command: what ran.
        policy: hex digest of the reviewed policy.
    """

    serial: str
    role: str | None
    subject: str | None
    spki_sha256: str | None
    issuer_spki_sha256: str | None
    certificate_sha256: str | None
    not_before: datetime | None
    not_after: datetime | None
    issued: datetime | None
    line: int
    actor: str | None
    command: str | None
    policy: str | None


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One revocation: when (UTC), and the reason that was given; None where no line says."""

    at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RotationEntry:
    """One rotation.

    Attributes:
        kind: "leaf", "intermediate" or "root".
        began: UTC.
        ended: UTC; None while it is under way, or where it was left.
        stages: each stage with the time at which it was done, oldest first.
        outcome: how it ended, in the ledger's word.
        actor: who began it.
        command: what began it.
    """

    kind: str | None
    began: datetime | None
    ended: datetime | None
    stages: tuple[tuple[str, datetime | None], ...]
    outcome: str | None
    actor: str | None
    command: str | None


@dataclass(frozen=True, slots=True)
class LedgerHistory:
    """Everything that a reader wants of a ledger.

    Attributes:
        fault: why the chain does not verify; None if it does. With a fault everything else is empty.
        head: the last line.
        issued: by serial number, oldest first.
        revoked: by serial number.
        rotations: oldest first.
        destroyed: id of an authority to the time at which its key was destroyed or thrown away unused.
        unfinished: sequence numbers of intents without a result.
    """

    fault: str | None
    head: LedgerHead
    issued: dict[str, IssuedEntry] = field(default_factory=dict)
    revoked: dict[str, RevokedEntry] = field(default_factory=dict)
    rotations: tuple[RotationEntry, ...] = ()
    destroyed: dict[str, datetime | None] = field(default_factory=dict)
    unfinished: tuple[int, ...] = ()


def read_history(lines: Sequence[str]) -> LedgerHistory:
    """Verify a ledger and read its events.

    Args:
        lines: without line ends, oldest first.
    """
    try:
        verified = verify_ledger(lines)
    except LedgerError as fault:
        return LedgerHistory(str(fault), LedgerHead())
    intents: dict[str, Mapping[str, Any]] = {}
    issued: dict[str, IssuedEntry] = {}
    revoked: dict[str, RevokedEntry] = {}
    destroyed: dict[str, datetime | None] = {}
    rotations: list[RotationEntry] = []
    for entry in verified.entries:
        serial, at = _text(entry, "serial"), _instant(entry, "ts")
        event = str(entry["event"])
        if event.startswith("rotation-"):
            _follow_rotation(rotations, entry, at)
        elif (
            event in ("key-destroyed", "authority-discarded")
            and (authority := _text(entry, "authority")) is not None
        ):
            destroyed[authority] = at
        elif serial is None:
            continue
        elif event == "intent":
            intents[serial] = entry
        elif event == "issued":
            issued[serial] = _issued(serial, intents.pop(serial, {}), entry)
        elif event == "revoked":
            # Recorded twice, it counts from the first.
            revoked.setdefault(serial, RevokedEntry(at, _text(entry, "reason")))
    return LedgerHistory(
        None, verified.head, issued, revoked, tuple(rotations), destroyed, verified.unfinished
    )


def _issued(serial: str, intent: Mapping[str, Any], result: Mapping[str, Any]) -> IssuedEntry:
    return IssuedEntry(
        serial=serial,
        role=_text(intent, "role"),
        subject=_text(intent, "subject"),
        spki_sha256=_text(intent, "spki_sha256"),
        issuer_spki_sha256=_text(intent, "issuer_spki_sha256"),
        certificate_sha256=_text(result, "certificate_sha256"),
        not_before=_instant(intent, "not_before"),
        not_after=_instant(intent, "not_after"),
        issued=_instant(result, "ts"),
        line=result["seq"],
        actor=_text(result, "actor"),
        command=_text(result, "command"),
        policy=_text(result, "policy") or _text(intent, "policy"),
    )


def _follow_rotation(rotations: list[RotationEntry], entry: Mapping[str, Any], at: datetime | None) -> None:
    kind = _text(entry, "kind")
    if entry["event"] == "rotation-began":
        rotations.append(
            RotationEntry(kind, at, None, (), None, _text(entry, "actor"), _text(entry, "command"))
        )
        return
    # One rotation runs at a time; the newest open one of this kind is meant.
    for index in range(len(rotations) - 1, -1, -1):
        found = rotations[index]
        if found.kind != kind or found.ended is not None:
            continue
        if entry["event"] == "rotation-stage":
            found = replace(found, stages=(*found.stages, (_text(entry, "stage") or "unknown", at)))
        elif entry["event"] == "rotation-reverted":
            found = replace(found, stages=(*found.stages, ("turned back", at)))
        elif entry["event"] == "rotation-ended":
            found = replace(found, ended=at, outcome=_text(entry, "outcome"))
        rotations[index] = found
        return


def _text(entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) and value else None


def _instant(entry: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(entry, name)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
