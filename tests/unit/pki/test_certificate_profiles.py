"""Every way in which a certificate can leave its profile is seen before it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from pki.errors import ProfileError
from pki.identity import WorkloadIdentity
from pki.issuance import plan_intermediate, plan_leaf, plan_root, serial_number, sign_certificate
from pki.lint import lint
from pki.profiles import INTERMEDIATE, LEAF, ROOT, Profile, extensions, name_constraints

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOMAIN = "countermark.internal"
GATEWAY = WorkloadIdentity(DOMAIN, "gateway")
SERIAL = serial_number(7)
# Scalars that everybody knows: these keys protect nothing.
ROOT_KEY, CA_KEY, LEAF_KEY, OTHER_KEY = (ec.derive_private_key(n, ec.SECP256R1()) for n in (2, 3, 4, 5))
ROOT_PLAN = plan_root(DOMAIN, NOW)
ROOT_CERTIFICATE = sign_certificate(
    ROOT_PLAN, public_key=ROOT_KEY.public_key(), serial=SERIAL, issuer=None, issuer_key=ROOT_KEY
)
CA_PLAN = plan_intermediate(DOMAIN, ROOT_PLAN, NOW)
CA = sign_certificate(
    CA_PLAN, public_key=CA_KEY.public_key(), serial=SERIAL, issuer=ROOT_CERTIFICATE, issuer_key=ROOT_KEY
)


def name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


GATEWAY_NAME = name((NameOID.COMMON_NAME, "gateway"))


@dataclass(frozen=True)
class Draft:
    """A correct certificate, any part of which a test replaces; `swapped` maps an OID to a new value."""

    profile: Profile = LEAF
    identity: WorkloadIdentity | None = GATEWAY
    issuer: x509.Certificate | None = CA
    subject: x509.Name = GATEWAY_NAME
    issuer_name: x509.Name = CA.subject
    key: Any = LEAF_KEY
    serial: int = SERIAL
    begin: datetime = NOW - timedelta(minutes=5)
    end: datetime = NOW + timedelta(days=7)
    digest: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    swapped: dict[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool] | None] = field(default_factory=dict)

    def build(self) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            self.issuer_name, self.subject, self.key.public_key(), self.serial, self.begin, self.end
        )
        signer = self.issuer or ROOT_CERTIFICATE
        standing = extensions(
            self.profile,
            trust_domain=DOMAIN,
            identity=self.identity,
            public_key=self.key.public_key(),
            issuer_key_id=signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        )
        wanted: dict[Any, Any] = {extension.oid: (extension, critical) for extension, critical in standing}
        for extension, critical in filter(None, (wanted | self.swapped).values()):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(OTHER_KEY, self.digest)

    def lint(self) -> None:
        lint(self.build(), self.profile, trust_domain=DOMAIN, identity=self.identity, issuer=self.issuer)


CA_DRAFT = Draft(
    profile=INTERMEDIATE,
    identity=None,
    issuer=ROOT_CERTIFICATE,
    subject=CA.subject,
    issuer_name=ROOT_CERTIFICATE.subject,
    key=CA_KEY,
    end=NOW + timedelta(days=180),
)
ROOT_DRAFT = Draft(
    profile=ROOT,
    identity=None,
    issuer=None,
    subject=ROOT_CERTIFICATE.subject,
    issuer_name=ROOT_CERTIFICATE.subject,
    key=ROOT_KEY,
    end=NOW + timedelta(days=5 * 365),
)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def names(*found: x509.GeneralName) -> dict[Any, Any]:
    return {ExtensionOID.SUBJECT_ALTERNATIVE_NAME: (x509.SubjectAlternativeName(found), False)}


def usage(*, sign: bool = True, certificates: bool = False, encipher: bool = False) -> dict[Any, Any]:
    value = x509.KeyUsage(sign, False, encipher, False, False, certificates, False, False, False)
    return {ExtensionOID.KEY_USAGE: (value, True)}


OUR_URI, OUR_DNS = uri(str(GATEWAY)), x509.DNSName(GATEWAY.dns_name)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_SAN = "subjectAltName"


@pytest.mark.parametrize("draft", [Draft(), CA_DRAFT, ROOT_DRAFT], ids=["leaf", "intermediate", "root"])
def test_a_certificate_of_its_profile_passes(draft: Draft) -> None:
    draft.lint()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"serial": 7}, "serial number"),
        ({"serial": 1 << 159 >> 1 << 1 | 1}, "serial number"),
        ({"key": rsa.generate_private_key(65537, 2048)}, "not P-256"),
        ({"key": ec.derive_private_key(4, ec.SECP384R1())}, "not P-256"),
        ({"digest": hashes.SHA384()}, "signature algorithm"),
        ({"end": NOW + timedelta(days=7, seconds=1)}, "lives longer"),
        ({"end": NOW + timedelta(days=181)}, "outlives its issuer"),
        ({"begin": CA_PLAN.not_before - timedelta(seconds=1)}, "begins before its issuer"),
        ({"issuer_name": ROOT_CERTIFICATE.subject}, "issuer name"),
        ({"issuer": ROOT_CERTIFICATE, "issuer_name": ROOT_CERTIFICATE.subject}, "path length"),
        ({"subject": name((NameOID.COMMON_NAME, "payments"))}, "common name of the workload"),
        (
            {"subject": name((NameOID.COMMON_NAME, "gateway"), (NameOID.ORGANIZATION_NAME, "x"))},
            "common name of the workload",
        ),
        ({"subject": x509.Name([])}, "common name of the workload"),
        ({"identity": None}, "a leaf has a workload identity"),
        ({"identity": WorkloadIdentity("other.internal", "gateway")}, "another trust domain"),
        ({"swapped": {ExtensionOID.SUBJECT_ALTERNATIVE_NAME: None}}, f"{_SAN}.*missing"),
        ({"swapped": names(OUR_DNS)}, _SAN),
        ({"swapped": names(OUR_URI)}, _SAN),
        ({"swapped": names(OUR_URI, OUR_URI, OUR_DNS)}, _SAN),
        ({"swapped": names(OUR_URI, uri(f"spiffe://{DOMAIN}/payments"), OUR_DNS)}, _SAN),
        ({"swapped": names(uri(f"spiffe://{DOMAIN}/payments"), OUR_DNS)}, _SAN),
        ({"swapped": names(OUR_URI, OUR_DNS, x509.DNSName("localhost"))}, _SAN),
        ({"swapped": names(OUR_URI, x509.DNSName("localhost"))}, _SAN),
        ({"swapped": usage(certificates=True)}, "keyUsage"),
        ({"swapped": usage(encipher=True)}, "keyUsage"),
        ({"swapped": usage(sign=False)}, "keyUsage"),
        (
            {"swapped": {ExtensionOID.EXTENDED_KEY_USAGE: (x509.ExtendedKeyUsage([SERVER]), False)}},
            "extendedKeyUsage",
        ),
        ({"swapped": {ExtensionOID.EXTENDED_KEY_USAGE: None}}, "extendedKeyUsage.*missing"),
        (
            {
                "swapped": {
                    ExtensionOID.BASIC_CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=0), True)
                }
            },
            "basicConstraints",
        ),
        (
            {"swapped": {ExtensionOID.BASIC_CONSTRAINTS: (x509.BasicConstraints(False, None), False)}},
            "basicConstraints.*not critical",
        ),
        ({"swapped": {ExtensionOID.OCSP_NO_CHECK: (x509.OCSPNoCheck(), False)}}, "not part of this profile"),
        (
            {"swapped": {ExtensionOID.SUBJECT_KEY_IDENTIFIER: (x509.SubjectKeyIdentifier(b"x" * 20), False)}},
            "subjectKeyIdentifier",
        ),
        (
            {
                "swapped": {
                    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (
                        x509.AuthorityKeyIdentifier(b"x" * 20, None, None),
                        False,
                    )
                }
            },
            "authorityKeyIdentifier",
        ),
    ],
)
def test_a_leaf_outside_its_profile_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        replace(Draft(), **changes).lint()


def test_a_leaf_with_an_ip_address_is_refused() -> None:
    with pytest.raises(ProfileError, match=_SAN):
        replace(Draft(), swapped=names(OUR_URI, OUR_DNS, x509.IPAddress(ip_address("127.0.0.1")))).lint()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"swapped": {ExtensionOID.NAME_CONSTRAINTS: None}}, "nameConstraints.*missing"),
        (
            {"swapped": {ExtensionOID.NAME_CONSTRAINTS: (name_constraints("internal.example"), True)}},
            "nameConstr",
        ),
        ({"swapped": {ExtensionOID.NAME_CONSTRAINTS: (name_constraints(DOMAIN), False)}}, "not critical"),
        (
            {"swapped": {ExtensionOID.BASIC_CONSTRAINTS: (x509.BasicConstraints(True, None), True)}},
            "basicConstraints",
        ),
        ({"swapped": usage(certificates=True)}, "keyUsage"),
        ({"end": NOW + timedelta(days=181)}, "lives longer"),
        ({"identity": GATEWAY}, "a CA has none"),
        ({"issuer": CA, "issuer_name": CA.subject}, "path length"),
        ({"issuer": None, "issuer_name": CA.subject}, "only a root signs itself"),
        ({"subject": name((NameOID.ORGANIZATION_NAME, DOMAIN), (NameOID.COMMON_NAME, "root x"))}, "this CA"),
        ({"subject": name((NameOID.COMMON_NAME, "intermediate x"))}, "this CA"),
    ],
)
def test_an_intermediate_outside_its_profile_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        replace(CA_DRAFT, **changes).lint()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"end": NOW + timedelta(days=5 * 365 + 1)}, "lives longer"),
        ({"issuer_name": CA.subject}, "issued by itself"),
        ({"swapped": {ExtensionOID.NAME_CONSTRAINTS: (name_constraints(DOMAIN), True)}}, "not part"),
        ({"issuer": ROOT_CERTIFICATE}, "path length"),
    ],
)
def test_a_root_outside_its_profile_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProfileError, match=reason):
        replace(ROOT_DRAFT, **changes).lint()


def test_a_leaf_cannot_be_an_issuer() -> None:
    leaf = sign_certificate(
        plan_leaf(GATEWAY, CA, NOW),
        public_key=LEAF_KEY.public_key(),
        serial=SERIAL,
        issuer=CA,
        issuer_key=CA_KEY,
    )

    with pytest.raises(ProfileError, match="issuer is not a CA"):
        replace(Draft(), issuer=leaf, issuer_name=leaf.subject).lint()


def test_every_violation_is_named_at_once() -> None:
    with pytest.raises(ProfileError, match=r"keyUsage.*serial number"):
        replace(Draft(), serial=7, swapped=usage(certificates=True)).lint()
