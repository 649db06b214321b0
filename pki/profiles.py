"""Certificate profiles, and the lint that every certificate passes before it is signed.

Three profiles and no options: a root, an intermediate that may issue for one trust domain only, a leaf for
one workload. The lint reads a whole certificate, so it judges what would be signed and not what was meant.
Pure. Source: RFC 5280 §4; SPIFFE X509-SVID §§2-5; the name constraints are those that OpenSSL 3.0,
PostgreSQL and BoringSSL all accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pki.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pki.identity import WorkloadIdentity

# A peer whose clock is a few minutes slow must still accept a certificate that is seconds old.
BACKDATE = timedelta(minutes=5)
# 158 random bits under a leading one: always 159 bits, so always 20 octets and positive (RFC 5280 §4.1.2.2).
SERIAL_RANDOM_BITS = 158
SERIAL_BITS = SERIAL_RANDOM_BITS + 1


@dataclass(frozen=True, slots=True)
class Profile:
    """What a certificate of one role must be.

    Attributes:
        role: "root", "intermediate" or "leaf".
        lifetime: from the moment of issuance, backdating not counted.
        renew_after: age at which a successor is due.
        path_length: CAs allowed below; None for a leaf.
        constrained: carries name constraints for its trust domain.
    """

    role: str
    lifetime: timedelta
    renew_after: timedelta
    path_length: int | None
    constrained: bool

    @property
    def is_ca(self) -> bool:
        """Whether certificates of this profile sign others."""
        return self.path_length is not None


# Five years of validity are the reserve; a root is replaced every year so that the way is practised.
ROOT = Profile("root", timedelta(days=5 * 365), timedelta(days=365), path_length=1, constrained=False)
INTERMEDIATE = Profile(
    "intermediate", timedelta(days=180), timedelta(days=90), path_length=0, constrained=True
)
# A week carries an operator-run mesh over a weekend with half of it to spare.
LEAF = Profile("leaf", timedelta(days=7), timedelta(days=3, hours=12), path_length=None, constrained=False)
# What a probe of our own presents: a look takes seconds, a rotation with many looks takes minutes.
PROBE = Profile("probe", timedelta(minutes=10), timedelta(minutes=10), path_length=None, constrained=False)


def key_usage(profile: Profile) -> x509.KeyUsage:
    """Return the exact key usage: CAs sign certificates and CRLs, leaves sign handshakes, nothing else."""
    return x509.KeyUsage(
        digital_signature=not profile.is_ca,
        key_cert_sign=profile.is_ca,
        crl_sign=profile.is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def name_constraints(trust_domain: str) -> x509.NameConstraints:
    """Return what an issuing CA may name: this trust domain's URIs and names, and no IP address."""
    return x509.NameConstraints(
        permitted_subtrees=[x509.UniformResourceIdentifier(trust_domain), x509.DNSName(trust_domain)],
        excluded_subtrees=[x509.IPAddress(IPv4Network("0.0.0.0/0")), x509.IPAddress(IPv6Network("::/0"))],
    )


def alternative_names(trust_domain: str, identity: WorkloadIdentity | None) -> x509.SubjectAlternativeName:
    """Return a leaf's one URI and one DNS name, or the trust domain's own SPIFFE id for a CA."""
    if identity is None:
        return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(str(identity)), x509.DNSName(identity.dns_name)]
    )


def extensions(
    profile: Profile,
    *,
    trust_domain: str,
    identity: WorkloadIdentity | None,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key_id: bytes,
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return every extension of a certificate with its criticality, in the order written."""
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length), True),
        (key_usage(profile), True),
        (alternative_names(trust_domain, identity), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (x509.AuthorityKeyIdentifier(issuer_key_id, None, None), False),
    ]
    if not profile.is_ca:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        found.append((x509.ExtendedKeyUsage(usages), False))
    if profile.constrained:
        found.append((name_constraints(trust_domain), True))
    return found


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
    found = sorted(
        {
            *_identity_violations(profile, trust_domain, identity),
            *_field_violations(certificate),
            *_validity_violations(certificate, profile, issuer),
            *_issuer_violations(certificate, profile, issuer),
            *_subject_violations(certificate, profile, trust_domain, identity),
            *_extension_violations(certificate, profile, trust_domain, identity, issuer),
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


def _field_violations(certificate: x509.Certificate) -> Iterator[str]:
    if certificate.version is not x509.Version.v3:
        yield "the version is not 3"
    if certificate.serial_number.bit_length() != SERIAL_BITS:
        yield f"the serial number is not {SERIAL_RANDOM_BITS} random bits under a leading one"
    key = certificate.public_key()
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        yield "the key is not P-256"
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        yield "the signature algorithm is not ECDSA with SHA-256"


def _validity_violations(
    certificate: x509.Certificate, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[str]:
    if certificate.not_valid_after_utc <= certificate.not_valid_before_utc:
        yield "it ends before it begins"
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > profile.lifetime + BACKDATE:
        yield f"it lives longer than {profile.lifetime} and {BACKDATE} of backdating"
    if issuer is not None:
        if certificate.not_valid_after_utc > issuer.not_valid_after_utc:
            yield "it outlives its issuer"
        if certificate.not_valid_before_utc < issuer.not_valid_before_utc:
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
    if certificate.issuer != issuer.subject:
        yield "the issuer name is not the issuer's subject"
    constraints = _extension(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        yield "the issuer is not a CA"
    # Roots sign intermediates, intermediates sign leaves: one path length fits each, so test equality.
    elif constraints.path_length != (1 if profile.is_ca else 0) or profile is ROOT:
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
    profile: Profile,
    trust_domain: str,
    identity: WorkloadIdentity | None,
    issuer: x509.Certificate | None,
) -> Iterator[str]:
    key = certificate.public_key()
    signer = certificate if issuer is None else issuer
    signer_key_id = _extension(signer, x509.SubjectKeyIdentifier)
    if not isinstance(key, ec.EllipticCurvePublicKey) or signer_key_id is None:
        yield "the key identifiers cannot be compared"
        return
    wanted = {
        kind.oid: (kind, critical)
        for kind, critical in extensions(
            profile,
            trust_domain=trust_domain,
            identity=identity,
            public_key=key,
            issuer_key_id=signer_key_id.digest,
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


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
