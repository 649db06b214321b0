"""Certificate revocation lists: planned, linted and signed like certificates. Pure.

Every CA of a chain needs a list, or PostgreSQL and Envoy refuse everybody; an expired one does the same.
So lists are signed long before their end, and an empty list is a list. Source: RFC 5280 §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import AuthorityExpired, ProfileError
from pki.profiles import BACKDATE

if TYPE_CHECKING:
    from collections.abc import Iterable

# Two days carry a mesh over an evening without its daemon; a list is signed anew every six hours.
INTERMEDIATE_LIST_LIFETIME = timedelta(hours=48)
INTERMEDIATE_LIST_RENEW_AFTER = timedelta(hours=6)
# The root is opened at ceremonies only, one at least every 90 days; its list lives twice as long.
ROOT_LIST_LIFETIME = timedelta(days=180)
ROOT_LIST_RENEW_AFTER = timedelta(days=90)
# Fits into 8 octets by far, and counts one list a second for longer than any CA lives (RFC 5280 §5.2.3).
NUMBER_MAX = 2**40

REASONS = {
    "key-compromise": x509.ReasonFlags.key_compromise,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "unspecified": x509.ReasonFlags.unspecified,
}


@dataclass(frozen=True, slots=True)
class Revocation:
    """One certificate that must not be believed any more.

    Attributes:
        serial: hex.
        issuer: id of the authority that signed it.
        subject: SPIFFE id, or the id of an authority.
        reason: a key of `REASONS`.
        at: when it was revoked, UTC.
        not_after: its end, UTC; a list need not name it longer.
    """

    serial: str
    issuer: str
    subject: str
    reason: str
    at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ListPlan:
    """One revocation list that would be signed.

    Attributes:
        authority: id of the CA.
        number: higher than that of every list of this CA before.
        this_update: UTC, whole seconds, backdated.
        next_update: UTC, whole seconds: from here on peers refuse everybody.
        entries: what it names, by serial number.
    """

    authority: str
    number: int
    this_update: datetime
    next_update: datetime
    entries: tuple[Revocation, ...]


def plan_list(
    authority: str, revocations: Iterable[Revocation], *, previous: int, not_after: datetime, now: datetime
) -> ListPlan:
    """Plan the next list of a CA.

    Args:
        authority: its id.
        revocations: all that are known; those of other CAs, and of certificates that ended, are left out;
            of two for one certificate the first counts.
        previous: number of its list before; 0 for none.
        not_after: end of the CA's own certificate; a list does not outlive it.
        now: UTC.

    Raises:
        AuthorityExpired: the CA has ended, and with it every list that it could sign.
    """
    now = now.replace(microsecond=0)
    root = authority.startswith("root-")
    if now >= not_after:
        raise AuthorityExpired(
            f"{authority} ended at {not_after:%Y-%m-%d %H:%M}Z, so peers would refuse every list of it: "
            f"replace it with `python -m pki rotate {'root' if root else 'intermediate'}`"
        )
    lifetime = ROOT_LIST_LIFETIME if root else INTERMEDIATE_LIST_LIFETIME
    entries: dict[str, Revocation] = {}
    for entry in revocations:
        if entry.issuer == authority and entry.not_after > now - BACKDATE:
            entries.setdefault(entry.serial, entry)
    named = tuple(entries[serial] for serial in sorted(entries))
    return ListPlan(authority, previous + 1, now - BACKDATE, min(now + lifetime, not_after), named)


def sign_list(
    plan: ListPlan, *, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateRevocationList:
    """Carry out one plan: build, sign, and read back what was signed.

    Raises:
        ProfileError: the list would not be what was planned, or the key is not the issuer's.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(plan.this_update)
        .next_update(plan.next_update)
        .add_extension(_key_id(issuer), critical=False)
        .add_extension(x509.CRLNumber(plan.number), critical=False)
    )
    for entry in plan.entries:
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(int(entry.serial, 16))
            .revocation_date(max(entry.at, issuer.not_valid_before_utc).replace(microsecond=0))
        )
        if entry.reason != "unspecified":  # RFC 5280 §5.3.1: absent says the same and is preferred
            revoked = revoked.add_extension(x509.CRLReason(REASONS[entry.reason]), critical=False)
        builder = builder.add_revoked_certificate(revoked.build())
    signed = builder.sign(issuer_key, hashes.SHA256())
    lint_list(signed, plan, issuer=issuer)
    return signed


def lint_list(found: x509.CertificateRevocationList, plan: ListPlan, *, issuer: x509.Certificate) -> None:
    """Hold a signed list against its plan and its issuer.

    Raises:
        ProfileError: naming what is wrong.
    """
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _signed_by(found, key):
        raise ProfileError(f"the revocation list is not signed by {plan.authority}")
    if found.issuer != issuer.subject:
        raise ProfileError(f"the revocation list does not name {plan.authority} as its issuer")
    if not 0 < plan.number <= NUMBER_MAX or list_number(found) != plan.number:
        raise ProfileError(f"the revocation list of {plan.authority} is not number {plan.number}")
    if (found.last_update_utc, found.next_update_utc) != (plan.this_update, plan.next_update):
        raise ProfileError(f"the revocation list of {plan.authority} has other dates than planned")
    if [f"{entry.serial_number:x}" for entry in found] != [entry.serial for entry in plan.entries]:
        raise ProfileError(f"the revocation list of {plan.authority} names other certificates than planned")


def list_number(found: x509.CertificateRevocationList) -> int:
    """Return a list's number; 0 where it has none."""
    try:
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def list_is_due(found: x509.CertificateRevocationList, authority: str, now: datetime) -> bool:
    """Say whether a CA's list must be signed anew."""
    end = found.next_update_utc
    if end is None:
        return True
    root = authority.startswith("root-")
    renew_after = ROOT_LIST_RENEW_AFTER if root else INTERMEDIATE_LIST_RENEW_AFTER
    life = end - found.last_update_utc
    return not found.last_update_utc <= now < found.last_update_utc + min(renew_after + BACKDATE, life / 2)


def _signed_by(found: x509.CertificateRevocationList, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        return found.is_signature_valid(key)
    except (InvalidSignature, TypeError):
        return False


def _key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    subject = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject.value)
