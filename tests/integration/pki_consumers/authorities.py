"""Authorities of the tests, in memory: certificates by the product's profiles, CRLs, published generations.

Their keys are at hand, so that a test can have a leaf of any time and a CRL with anything in it; what they
issue is what `pki` would issue, byte rules and all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.consumers.contract import Credential
from pki.identity import TRUST_DOMAIN_DEFAULT, WorkloadIdentity
from pki.issuance import plan_intermediate, plan_leaf, plan_root, serial_number, sign_certificate
from pki.profiles import SERIAL_RANDOM_BITS

CRL_LIFETIME = timedelta(hours=48)


def _serial() -> int:
    return serial_number(secrets.randbits(SERIAL_RANDOM_BITS))


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_id(certificate: x509.Certificate) -> str:
    """The hex key id by which leaves name this issuer."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


@dataclass(frozen=True)
class Authority:
    """A root and its intermediate, with their keys."""

    trust_domain: str
    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, *, trust_domain: str = TRUST_DOMAIN_DEFAULT, age: timedelta = timedelta(0)) -> Authority:
        begun = datetime.now(UTC) - age
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_plan = plan_root(trust_domain, begun)
        root = sign_certificate(
            root_plan, public_key=root_key.public_key(), serial=_serial(), issuer=None, issuer_key=root_key
        )
        intermediate = sign_certificate(
            plan_intermediate(trust_domain, root_plan, begun),
            public_key=key.public_key(),
            serial=_serial(),
            issuer=root,
            issuer_key=root_key,
        )
        return cls(trust_domain, root, root_key, intermediate, key)

    def leaf(self, name: str, *, age: timedelta = timedelta(0)) -> Credential:
        """Issue a leaf; a negative age is one that is not valid yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        plan = plan_leaf(
            WorkloadIdentity(self.trust_domain, name), self.intermediate, datetime.now(UTC) - age
        )
        certificate = sign_certificate(
            plan,
            public_key=key.public_key(),
            serial=_serial(),
            issuer=self.intermediate,
            issuer_key=self.intermediate_key,
        )
        return Credential(
            chain=pem(certificate) + pem(self.intermediate),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            serial=f"{certificate.serial_number:x}",
        )

    def crls(self, revoked: Iterable[str] = ()) -> bytes:
        """PEM CRLs of both CAs, fresh; the intermediate's lists these hex serials."""
        return _crl(self.intermediate, self.intermediate_key, revoked) + _crl(self.root, self.root_key, ())

    @property
    def issuing_key_id(self) -> str:
        return key_id(self.intermediate)


def _crl(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, revoked: Iterable[str]) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject, now - timedelta(minutes=5), now + CRL_LIFETIME
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        ),
        critical=False,
    ).add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    for serial in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(int(serial, 16), now - timedelta(minutes=1)).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class LiveTree:
    """`live/<name>/current` of one deployment, written as the product writes it: aside, then one rename."""

    certs: Path

    def publish(
        self,
        name: str,
        credential: Credential,
        *,
        trust: Sequence[Authority],
        crl: bytes,
        gid: int | None = None,
        key: bytes | None = None,
    ) -> Path:
        """Publish a generation and return its folder; `key` replaces the credential's own by a wrong one."""
        workload = self.certs / "live" / name
        workload.mkdir(parents=True, exist_ok=True)
        folder = workload / f"gen-{len(list(workload.glob('gen-*'))) + 1:04}"
        folder.mkdir()
        files = {
            "cert.pem": (credential.chain, 0o644),
            "key.pem": (key or credential.key, 0o600 if gid is None else 0o640),
            "trust.pem": (b"".join(pem(authority.root) for authority in trust), 0o644),
            "crl.pem": (crl, 0o644),
            "meta.json": (b"{}\n", 0o644),
        }
        for file, (content, mode) in files.items():
            (folder / file).write_bytes(content)
            (folder / file).chmod(mode)
            if gid is not None:
                os.chown(folder / file, 0, gid)
        link = workload / ".next"
        link.symlink_to(folder.name)
        link.replace(workload / "current")
        return folder

    def write_authority(self, authority: Authority) -> None:
        """Keep both CA certificates where the authority keeps them: `ca/<id>/cert.pem`."""
        for role, certificate in (("root", authority.root), ("intermediate", authority.intermediate)):
            identity = f"{role}-20260101-{secrets.token_hex(4)}"
            folder = self.certs / "ca" / identity
            folder.mkdir(parents=True)
            (folder / "cert.pem").write_bytes(pem(certificate))

    def identity(self, name: str) -> Path:
        return self.certs / "live" / name / "current"
