"""Certificate profiles: what a certificate of each role must be.

Three profiles and no options: a root, an intermediate that may issue for one trust domain only, a leaf for
one workload. Pure. Source: RFC 5280 §4; SPIFFE X509-SVID §§2-5; the name constraints are those that
OpenSSL 3.0, PostgreSQL and BoringSSL all accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from pki.identity import WorkloadIdentity

# A peer whose clock is a few minutes slow must still accept a certificate that is seconds old.
BACKDATE = timedelta(minutes=5)
# 158 random bits under a leading one: always 159 bits, so always 20 octets and positive (RFC 5280 §4.1.2.2).
SERIAL_RANDOM_BITS = 158
SERIAL_BITS = SERIAL_RANDOM_BITS + 1
# What all certificates of an issuer share is computed once; a tree has two or three issuers at a time.
REMEMBERED = 16


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
    before, after = _common_extensions(profile, trust_domain, issuer_key_id)
    return [
        *before,
        (alternative_names(trust_domain, identity), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        *after,
    ]


_Extensions = tuple[tuple[x509.ExtensionType, bool], ...]


@lru_cache(maxsize=REMEMBERED)
def _common_extensions(
    profile: Profile, trust_domain: str, issuer_key_id: bytes
) -> tuple[_Extensions, _Extensions]:
    """Return what stands before and after a certificate's own names and key identifier."""
    before = ((x509.BasicConstraints(profile.is_ca, profile.path_length), True), (key_usage(profile), True))
    after: _Extensions = ((x509.AuthorityKeyIdentifier(issuer_key_id, None, None), False),)
    if not profile.is_ca:
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        after += ((x509.ExtendedKeyUsage(usages), False),)
    if profile.constrained:
        after += ((name_constraints(trust_domain), True),)
    return before, after
