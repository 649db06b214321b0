"""Plans for certificates, and the certificates themselves: pure functions of what they are given.

A plan says everything an operator needs to know before anything is signed; signing follows the plan and
nothing else. Each certificate is first written under a signature that nobody trusts, read back and linted;
the authority's key signs the bytes that passed. ECDSA is deterministic (RFC 6979), so the same arguments give
the same certificate. Source: RFC 5280; the rehearsal is the practice of public CAs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pki.errors import AuthorityExpired, ProfileError
from pki.leaf_encoding import UNSIGNED, LeafEncoding, certificate_bytes
from pki.lint import lint
from pki.profiles import BACKDATE, INTERMEDIATE, LEAF, ROOT, SERIAL_RANDOM_BITS, Profile, extensions

if TYPE_CHECKING:
    from datetime import datetime

    from pki.identity import WorkloadIdentity

# The scalar 1: what it signs is trusted by nobody, which is what a rehearsal needs.
_REHEARSAL_KEY = ec.derive_private_key(1, ec.SECP256R1())
# An issuer with less left than this would make leaves that need renewal at once.
ISSUER_REMAINING_MIN = 2 * BACKDATE


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """One certificate that would be signed.

    Attributes:
        profile: the role.
        trust_domain: of the authority.
        identity: the workload of a leaf; None for a CA.
        not_before: UTC, whole seconds, backdated but never before the issuer's.
        not_after: UTC, whole seconds, never after the issuer's.
    """

    profile: Profile
    trust_domain: str
    identity: WorkloadIdentity | None
    not_before: datetime
    not_after: datetime


def plan_root(trust_domain: str, now: datetime) -> CertificatePlan:
    """Plan a root that begins now."""
    now = now.replace(microsecond=0)
    return CertificatePlan(ROOT, trust_domain, None, now - BACKDATE, now + ROOT.lifetime)


def plan_below(
    profile: Profile,
    *,
    trust_domain: str,
    identity: WorkloadIdentity | None,
    issuer_not_before: datetime,
    issuer_not_after: datetime,
    now: datetime,
) -> CertificatePlan:
    """Plan an intermediate or a leaf within its issuer's validity.

    Raises:
        AuthorityExpired: the issuer has not begun, or has too little left to sign anything useful.
    """
    now = now.replace(microsecond=0)
    if now < issuer_not_before:
        raise AuthorityExpired(
            f"the issuer is valid from {issuer_not_before:%Y-%m-%d %H:%M}Z: check the clock"
        )
    if issuer_not_after - now < ISSUER_REMAINING_MIN:
        raise AuthorityExpired(
            f"the issuing CA ended at {issuer_not_after:%Y-%m-%d %H:%M}Z, or is about to: it can sign nothing"
        )
    return CertificatePlan(
        profile,
        trust_domain,
        identity,
        not_before=max(now - BACKDATE, issuer_not_before),
        not_after=min(now + profile.lifetime, issuer_not_after),
    )


def plan_intermediate(trust_domain: str, root: CertificatePlan, now: datetime) -> CertificatePlan:
    """Plan the intermediate of a root that is itself still a plan."""
    return plan_below(
        INTERMEDIATE,
        trust_domain=trust_domain,
        identity=None,
        issuer_not_before=root.not_before,
        issuer_not_after=root.not_after,
        now=now,
    )


def plan_leaf(identity: WorkloadIdentity, issuer: x509.Certificate, now: datetime) -> CertificatePlan:
    """Plan a workload's leaf.

    Raises:
        AuthorityExpired: see `plan_below`.
    """
    return plan_below(
        LEAF,
        trust_domain=identity.trust_domain,
        identity=identity,
        issuer_not_before=issuer.not_valid_before_utc,
        issuer_not_after=issuer.not_valid_after_utc,
        now=now,
    )


def serial_number(random_bits: int) -> int:
    """Return a serial number from `SERIAL_RANDOM_BITS` random bits."""
    if not 0 <= random_bits < 1 << SERIAL_RANDOM_BITS:
        raise ValueError(f"a serial number takes exactly {SERIAL_RANDOM_BITS} random bits")
    return (1 << SERIAL_RANDOM_BITS) | random_bits


def spki_bytes(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the key's SubjectPublicKeyInfo, DER."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return the hex SHA-256 of the key's SubjectPublicKeyInfo: the one name of a key in this package."""
    return hashlib.sha256(spki_bytes(public_key)).hexdigest()


def key_id(certificate: x509.Certificate) -> str:
    """Return the hex key identifier that certificates below this one name as their authority's."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def authority_id(plan: CertificatePlan, public_key: ec.EllipticCurvePublicKey) -> str:
    """Return a CA's id, `<role>-<day>-<key>`: readable, sortable by day, and never the same for two keys."""
    return f"{plan.profile.role}-{plan.not_before:%Y%m%d}-{spki_sha256(public_key)[:8]}"


def _subject(plan: CertificatePlan, public_key: ec.EllipticCurvePublicKey) -> x509.Name:
    if plan.identity is not None:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, plan.identity.name)])
    role, _, distinct = authority_id(plan, public_key).partition("-")
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, plan.trust_domain),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{role} {distinct}"),
        ]
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose certificate: the key, and the number it gets.

    Attributes:
        public_key: P-256.
        serial: from `serial_number`.
        spki: the key as SubjectPublicKeyInfo, DER; encoded once for everything that is said about it.
    """

    public_key: ec.EllipticCurvePublicKey
    serial: int
    spki: bytes = field(repr=False)


class Signer:
    """An issuer at work: rehearses, lints, signs; what its certificates have in common is encoded once."""

    def __init__(self, issuer: x509.Certificate | None, key: ec.EllipticCurvePrivateKey) -> None:
        """Take the signer's certificate (None for a root, which signs itself) and its key."""
        self._issuer = issuer
        self._key = key
        self._key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
        self._encodings: dict[tuple[Profile, datetime, datetime], LeafEncoding] = {}

    def sign(self, plan: CertificatePlan, subject: Subject) -> x509.Certificate:
        """Carry out one plan: build, lint, sign the very bytes that passed.

        Raises:
            ProfileError: the certificate would violate its profile, or the key is not the issuer's.
        """
        linted = self._rehearse(plan, subject)
        lint(
            x509.load_der_x509_certificate(certificate_bytes(linted, UNSIGNED)),
            plan.profile,
            trust_domain=plan.trust_domain,
            identity=plan.identity,
            issuer=self._issuer,
        )
        signature = self._key.sign(linted, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        certificate = x509.load_der_x509_certificate(certificate_bytes(linted, signature))
        if certificate.tbs_certificate_bytes != linted:
            raise ProfileError("the signed certificate is not the one that was linted; it was thrown away")
        return certificate

    def _rehearse(self, plan: CertificatePlan, subject: Subject) -> bytes:
        """Return what would be signed, as TBSCertificate."""
        if plan.identity is None or self._issuer is None or plan.profile.is_ca:
            return _rehearse_authority(plan, subject, self._issuer, self._key_id)
        common = (plan.profile, plan.not_before, plan.not_after)
        encoding = self._encodings.get(common)
        if encoding is None:
            encoding = self._encodings[common] = LeafEncoding(
                plan.profile,
                issuer=self._issuer,
                issuer_key_id=self._key_id,
                not_before=plan.not_before,
                not_after=plan.not_after,
            )
        return encoding.to_be_signed(
            plan.identity, public_key=subject.public_key, spki=subject.spki, serial=subject.serial
        )


def sign_certificate(
    plan: CertificatePlan,
    *,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Carry out one plan alone.

    Args:
        plan: what to sign.
        public_key: the subject's key, P-256.
        serial: from `serial_number`.
        issuer: the signer's certificate; None for a root.
        issuer_key: the signer's key.

    Raises:
        ProfileError: see `Signer.sign`.
    """
    return Signer(issuer, issuer_key).sign(plan, Subject(public_key, serial, spki_bytes(public_key)))


def _rehearse_authority(
    plan: CertificatePlan, subject: Subject, issuer: x509.Certificate | None, issuer_key_id: bytes
) -> bytes:
    name = _subject(plan, subject.public_key)
    builder = x509.CertificateBuilder(
        issuer_name=name if issuer is None else issuer.subject,
        subject_name=name,
        public_key=subject.public_key,
        serial_number=subject.serial,
        not_valid_before=plan.not_before,
        not_valid_after=plan.not_after,
    )
    for extension, critical in extensions(
        plan.profile,
        trust_domain=plan.trust_domain,
        identity=plan.identity,
        public_key=subject.public_key,
        issuer_key_id=issuer_key_id,
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(_REHEARSAL_KEY, hashes.SHA256(), ecdsa_deterministic=True).tbs_certificate_bytes
