"""The inventory that compliance reads: every certificate that exists or existed, one row each. Pure.

It is joined anew each time from what lies on disk, what the ledger says and, where somebody looked, what is
on the wire. What is not known is None here and "unknown" in print, so that silence is never taken for "no".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.compliance import Fact, evidence_for
from pki.inventory_reading import AuthorityMaterial, InventoryMaterial, KeyFile, LeafMaterial
from pki.ledger_history import IssuedEntry, LedgerHistory, RevokedEntry

AUTHORITY_ROLES = ("root", "intermediate")
_ROLES = (*AUTHORITY_ROLES, "leaf", "probe")
# What is used now comes first, what is gone last.
_STATES = ("trusted", "issuing", "prepared", "current", "previous", "not on disk", "retired", "superseded",
           "revoked", "expired")  # fmt: skip
# States of certificates that no longer do anything.
PAST = frozenset({"retired", "superseded", "revoked", "expired"})
# The ledger's word for a signature that no reviewed policy was given for.
NO_POLICY = "none"
# What there is to say of a key that has no file; only the ledger makes it the first of these.
DESTROYED, ABSENT = "destroyed", "not on this machine"
# A probe's key is never written: it ends with the command that looked.
_PROBE_CUSTODY = "memory of a command that has ended or is about to"


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One certificate; None is "unknown" throughout.

    Attributes:
        role: "root", "intermediate", "leaf" or "probe".
        subject: the workload, or the id of the CA.
        spiffe_id: as in the certificate; empty where it carries none.
        state: see `_STATES`; what it is used for now.
        serial: hex, as in the ledger.
        issuer: id of the CA that signed it, or the beginning of its key's digest.
        not_before: UTC.
        not_after: UTC.
        key: who can read its key's file.
        custody: how the key is kept, in words.
        rotated: ledger time of its signature: when its place was last given a new certificate, UTC.
        policy: hex digest of the policy under which it was signed.
        recorded: whether its signature is in the ledger; None if the ledger does not verify.
        revoked: when and why; None means not revoked only where `recorded` is not None.
        place: folder relative to the tree; None for one that the ledger alone knows.
        spki_sha256: hex digest of its key.
        certificate_sha256: hex digest of the certificate itself.
        on_wire: whether its workload presents it; None if nobody looked.
        requirements: numbers of the requirements that this row is evidence for.
    """

    role: str
    subject: str | None
    spiffe_id: str | None
    state: str
    serial: str | None
    issuer: str | None
    not_before: datetime | None
    not_after: datetime | None
    key: KeyFile | None = None
    custody: str | None = None
    rotated: datetime | None = None
    policy: str | None = None
    recorded: bool | None = None
    revoked: RevokedEntry | None = None
    place: str | None = None
    spki_sha256: str | None = None
    certificate_sha256: str | None = None
    on_wire: bool | None = None
    requirements: tuple[str, ...] = ()


def inventory_rows(
    material: InventoryMaterial, now: datetime, wire: Mapping[str, str] | None = None
) -> list[InventoryRow]:
    """Return every certificate: roots, intermediates, leaves by workload; what is in use first.

    Args:
        material: what was read.
        now: UTC.
        wire: workload to the serial number (hex) that it was seen to present; None if nobody looked.
    """
    history = material.history
    rows = [_authority_row(authority, material) for authority in material.authorities]
    rows += [_leaf_row(leaf, material) for leaf in material.leaves]
    on_disk = {row.serial for row in rows}
    newest = {entry.subject: entry.serial for entry in history.issued.values() if entry.role == "leaf"}
    keys = {row.spki_sha256: row.subject for row in rows if row.role in AUTHORITY_ROLES and row.spki_sha256}
    rows += [
        _ledger_row(entry, history, superseded=newest.get(entry.subject) != entry.serial, keys=keys, now=now)
        for entry in history.issued.values()
        if entry.serial not in on_disk
    ]
    finished = (_with_wire(row, wire or {}) for row in rows)
    return sorted(
        (replace(row, requirements=evidence_for(facts_of(row))) for row in finished), key=_reading_order
    )


def facts_of(row: InventoryRow) -> Iterator[Fact]:
    """Yield the kinds of facts that one row really shows; what is unknown is evidence for nothing."""
    yield Fact.LISTED
    if row.not_after is not None:
        yield from (Fact.VALIDITY, Fact.CRYPTOPERIOD)
    if row.issuer is not None:
        yield Fact.ISSUER
    if row.key is not None and row.role == "leaf":
        yield Fact.HOLDER
    if row.custody not in (None, DESTROYED, ABSENT) and row.role in AUTHORITY_ROLES:
        yield Fact.SHARED_CUSTODY if "shares" in str(row.custody) else Fact.CUSTODY
    if row.state in PAST or row.state == "previous":
        yield Fact.RETIRED
    if row.revoked is not None:
        yield Fact.REVOKED
    if row.recorded:
        yield Fact.RECORDED
        if row.place is not None:
            yield Fact.SUBSTITUTION
    if row.policy not in (None, NO_POLICY):
        yield Fact.POLICY
    if row.on_wire is not None:
        yield Fact.WIRE


def _authority_row(authority: AuthorityMaterial, material: InventoryMaterial) -> InventoryRow:
    record = authority.record
    role = record.authority.partition("-")[0]
    state = _authority_state(authority, material.authorities)
    custody = authority.custody
    if record.authority in material.history.destroyed and authority.key is None:
        custody = DESTROYED
    elif custody is None and authority.key is None and state == "retired":
        custody = ABSENT
    row = _certificate_row(record.certificate, role, record.authority, state, material)
    return replace(row, key=authority.key, custody=custody, place=authority.place)


def _authority_state(authority: AuthorityMaterial, all_of_them: Iterable[AuthorityMaterial]) -> str:
    record = authority.record
    if record.trusted or record.issuing:
        return "trusted" if record.trusted else "issuing"
    role = record.authority.partition("-")[0]
    in_use = [
        other.record.certificate.not_valid_before_utc
        for other in all_of_them
        if (other.record.trusted or other.record.issuing) and other.record.authority.startswith(role)
    ]
    newer = bool(in_use) and record.certificate.not_valid_before_utc > max(in_use)
    return "prepared" if newer and (authority.key or authority.custody) is not None else "retired"


def _leaf_row(leaf: LeafMaterial, material: InventoryMaterial) -> InventoryRow:
    state = "current" if leaf.current else "previous"
    if leaf.certificate is None:
        row = InventoryRow("leaf", leaf.name, None, state, None, None, None, None)
    else:
        row = _certificate_row(leaf.certificate, "leaf", leaf.name, state, material)
    custody = None if leaf.key is None else "file of its workload"
    return replace(row, key=leaf.key, custody=custody, place=leaf.place)


def _certificate_row(
    certificate: x509.Certificate, role: str, subject: str, state: str, material: InventoryMaterial
) -> InventoryRow:
    history = material.history
    serial = f"{certificate.serial_number:x}"
    entry = history.issued.get(serial)
    return InventoryRow(
        role,
        subject,
        _spiffe_id(certificate),
        state,
        serial,
        _issuer(certificate, material.authorities),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        rotated=entry.issued if entry else None,
        policy=entry.policy if entry else None,
        recorded=None if history.fault is not None else entry is not None,
        revoked=history.revoked.get(serial),
        spki_sha256=_spki_sha256(certificate),
        certificate_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _ledger_row(
    entry: IssuedEntry,
    history: LedgerHistory,
    *,
    superseded: bool,
    keys: Mapping[str, str | None],
    now: datetime,
) -> InventoryRow:
    revoked = history.revoked.get(entry.serial)
    if revoked is not None:
        state = "revoked"
    elif entry.not_after is not None and entry.not_after <= now:
        state = "expired"
    else:
        state = "superseded" if superseded and entry.role == "leaf" else "not on disk"
    role = entry.role if entry.role in _ROLES else "leaf"
    subject, spiffe_id = _ledger_names(entry, role)
    gone = role in AUTHORITY_ROLES and subject in history.destroyed
    issuer = entry.issuer_spki_sha256
    return InventoryRow(
        role,
        subject,
        spiffe_id,
        "retired" if gone else state,
        entry.serial,
        None if issuer is None else keys.get(issuer) or f"key {issuer[:16]}",
        entry.not_before,
        entry.not_after,
        custody=DESTROYED if gone else _PROBE_CUSTODY if role == "probe" else None,
        rotated=entry.issued,
        policy=entry.policy,
        recorded=True,
        revoked=revoked,
        spki_sha256=entry.spki_sha256,
        certificate_sha256=entry.certificate_sha256,
    )


def _ledger_names(entry: IssuedEntry, role: str) -> tuple[str | None, str | None]:
    """Return the subject and the SPIFFE id of a certificate that the ledger alone knows."""
    if role not in AUTHORITY_ROLES:
        return (entry.subject.rpartition("/")[2] if entry.subject else None), entry.subject
    if entry.not_before is None or entry.spki_sha256 is None:
        return entry.subject, None
    return f"{role}-{entry.not_before:%Y%m%d}-{entry.spki_sha256[:8]}", None


def _with_wire(row: InventoryRow, wire: Mapping[str, str]) -> InventoryRow:
    seen = wire.get(row.subject) if row.role == "leaf" and row.subject is not None else None
    return row if seen is None else replace(row, on_wire=row.serial == seen)


def _reading_order(row: InventoryRow) -> tuple[int, str, int, float]:
    begin = row.not_before.timestamp() if row.not_before is not None else 0.0
    subject = "" if row.role in AUTHORITY_ROLES else row.subject or ""
    return _ROLES.index(row.role), subject, _STATES.index(row.state), -begin


def _spiffe_id(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        return ""
    except ValueError:
        return None
    return ", ".join(found)


def _issuer(certificate: x509.Certificate, authorities: Iterable[AuthorityMaterial]) -> str | None:
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority.record.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return authority.record.authority
    return None


def _spki_sha256(certificate: x509.Certificate) -> str | None:
    try:
        data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
