"""The lint that every certificate passes before it is signed.

It reads a whole certificate, so it judges what would be signed and not what was meant. Pure.
Source: RFC 5280 §4; SPIFFE X509-SVID §§2-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID

from pki.errors import ProfileError
from pki.profiles import BACKDATE, REMEMBERED, ROOT, SERIAL_BITS, SERIAL_RANDOM_BITS, Profile, extensions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pki.identity import WorkloadIdentity


def lint(
    certificate: x509.Certificate,
    profile: Profile,
    *,
    trust_domain: str,
    identity: WorkloadIdentity | None,
    issuer: x509.Certificate | None,
) -> None:
    """Compare a certificate with its profile.

    Args:
        certificate: what would be signed; its signature is not looked at.
        profile: the role it claims.
        trust_domain: the one trust domain of this authority.
        identity: the workload of a leaf; None for a CA.
        issuer: the signer's certificate; None for a root, which signs itself.

    Raises:
        ProfileError: naming every violation found.
    """
    key = certificate.public_key()
    found = sorted(
        {
            *_identity_violations(profile, trust_domain, identity),
            *_field_violations(certificate, key),
            *_validity_violations(certificate, profile, issuer),
            *_issuer_violations(certificate, profile, issuer),
            *_subject_violations(certificate, profile, trust_domain, identity),
            *_extension_violations(certificate, key, profile, trust_domain, identity, issuer),
        }
    )
    if found:
        raise ProfileError(f"refused to sign this {profile.role}: {'; '.join(found)}")


def _identity_violations(
    profile: Profile, trust_domain: str, identity: WorkloadIdentity | None
) -> Iterator[str]:
    if profile.is_ca == (identity is not None):
        yield "a leaf has a workload identity and a CA has none"
    if identity is not None and identity.trust_domain != trust_domain:
        yield "the workload belongs to another trust domain"


def _field_violations(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> Iterator[str]:
    if certificate.version is not x509.Version.v3:
        yield "the version is not 3"
    if certificate.serial_number.bit_length() != SERIAL_BITS:
        yield f"the serial number is not {SERIAL_RANDOM_BITS} random bits under a leading one"
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        yield "the key is not P-256"
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        yield "the signature algorithm is not ECDSA with SHA-256"


def _validity_violations(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[str]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end <= begin:
        yield "it ends before it begins"
    if end - begin > profile.lifetime + BACKDATE:
        yield f"it lives longer than {profile.lifetime} and {BACKDATE} of backdating"
    if issuer is not None:
        if end > issuer.not_valid_after_utc:
            yield "it outlives its issuer"
        if begin < issuer.not_valid_before_utc:
            yield "it begins before its issuer"


def _issuer_violations(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[str]:
    if issuer is None:
        if profile is not ROOT:
            yield "only a root signs itself"
        if certificate.issuer != certificate.subject:
            yield "a root is issued by itself"
        return
    facts = _facts(issuer)
    if certificate.issuer != facts.subject:
        yield "the issuer name is not the issuer's subject"
    if facts.constraints is None or not facts.constraints.ca:
        yield "the issuer is not a CA"
    # Roots sign intermediates, intermediates sign leaves: one path length fits each, so test equality.
    elif facts.constraints.path_length != (1 if profile.is_ca else 0) or profile is ROOT:
        yield "the issuer's path length does not allow this role"


def _subject_violations(
    certificate: x509.Certificate, profile: Profile, trust_domain: str, identity: WorkloadIdentity | None
) -> Iterator[str]:
    pairs = [(attribute.oid, attribute.value) for attribute in certificate.subject]
    if identity is not None:
        if pairs != [(x509.NameOID.COMMON_NAME, identity.name)]:
            yield "the subject is not exactly the common name of the workload"
    elif (
        [oid for oid, _ in pairs] != [x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME]
        or pairs[0][1] != trust_domain
        or not str(pairs[1][1]).startswith(f"{profile.role} ")
    ):
        yield "the subject is not the trust domain and the name of this CA"


def _extension_violations(
    certificate: x509.Certificate,
    key: CertificatePublicKeyTypes,
    profile: Profile,
    trust_domain: str,
    identity: WorkloadIdentity | None,
    issuer: x509.Certificate | None,
) -> Iterator[str]:
    signer = _key_id(certificate) if issuer is None else _facts(issuer).key_id
    if not isinstance(key, ec.EllipticCurvePublicKey) or signer is None:
        yield "the key identifiers cannot be compared"
        return
    wanted = {
        kind.oid: (kind, critical)
        for kind, critical in extensions(
            profile,
            trust_domain=trust_domain,
            identity=identity,
            public_key=key,
            issuer_key_id=signer,
        )
    }
    found = {extension.oid: (extension.value, extension.critical) for extension in certificate.extensions}
    for oid in wanted.keys() | found.keys():
        if wanted.get(oid) != found.get(oid):
            yield f"{_label(oid)} is {_difference(wanted.get(oid), found.get(oid))}"


def _difference(wanted: tuple[object, bool] | None, found: tuple[object, bool] | None) -> str:
    if found is None:
        return "missing"
    if wanted is None:
        return "not part of this profile"
    if wanted[0] != found[0]:
        return "not the value of this profile"
    return "critical" if found[1] else "not critical"


def _label(oid: x509.ObjectIdentifier) -> str:
    return f"extension {oid._name} ({oid.dotted_string})"  # noqa: SLF001 - the only readable name there is


@dataclass(frozen=True, slots=True)
class _IssuerFacts:
    subject: x509.Name
    constraints: x509.BasicConstraints | None
    key_id: bytes | None


@lru_cache(maxsize=REMEMBERED)
def _facts(issuer: x509.Certificate) -> _IssuerFacts:
    return _IssuerFacts(issuer.subject, _extension(issuer, x509.BasicConstraints), _key_id(issuer))


def _key_id(certificate: x509.Certificate) -> bytes | None:
    found = _extension(certificate, x509.SubjectKeyIdentifier)
    return None if found is None else found.digest


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
