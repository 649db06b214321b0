"""A small authority in memory, and ledgers written line by line, for the tests of reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.identity import WorkloadIdentity
from pki.inventory import AuthorityRecord
from pki.inventory_reading import AuthorityMaterial, InventoryMaterial, KeyFile, LeafMaterial
from pki.issuance import (
    CertificatePlan,
    authority_id,
    plan_intermediate,
    plan_leaf,
    plan_root,
    serial_number,
    sign_certificate,
    spki_sha256,
)
from pki.ledger import Attribution, LedgerHead, ledger_line
from pki.ledger_history import read_history

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOMAIN = "countermark.internal"
POLICY = "ab" * 32
ROOT_KEY, CA_KEY = (ec.derive_private_key(scalar, ec.SECP256R1()) for scalar in (2, 3))
ROOT_PLAN = plan_root(DOMAIN, NOW - timedelta(days=20))
ROOT = sign_certificate(
    ROOT_PLAN, public_key=ROOT_KEY.public_key(), serial=serial_number(1), issuer=None, issuer_key=ROOT_KEY
)
CA_PLAN = plan_intermediate(DOMAIN, ROOT_PLAN, NOW - timedelta(days=20))
CA = sign_certificate(
    CA_PLAN, public_key=CA_KEY.public_key(), serial=serial_number(2), issuer=ROOT, issuer_key=ROOT_KEY
)
ROOT_ID = authority_id(ROOT_PLAN, ROOT_KEY.public_key())
CA_ID = authority_id(CA_PLAN, CA_KEY.public_key())
OWN_KEY = KeyFile(0, 0, 0o600, "root", "root")


def leaf(name: str, number: int, *, age: timedelta = timedelta(0), scalar: int = 0) -> x509.Certificate:
    """Sign a leaf; its key follows from its number unless a scalar is given."""
    key = ec.derive_private_key(scalar or 1000 + number, ec.SECP256R1())
    return sign_certificate(
        plan_leaf(WorkloadIdentity(DOMAIN, name), CA, NOW - age),
        public_key=key.public_key(),
        serial=serial_number(number),
        issuer=CA,
        issuer_key=CA_KEY,
    )


def serial(certificate: x509.Certificate) -> str:
    """Return the serial number as the ledger spells it."""
    return f"{certificate.serial_number:x}"


class WrittenLedger:
    """Lines of a ledger, in the order of the calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._head = LedgerHead()

    def add(self, event: str, at: datetime = NOW, **fields: str | int) -> WrittenLedger:
        by = Attribution("uid 0", str(fields.pop("command", "none")), str(fields.pop("policy", "none")))
        line, self._head = ledger_line(self._head, event=event, by=by, now=at, fields=fields)
        self.lines.append(line)
        return self

    def sign(
        self, certificate: x509.Certificate, role: str, subject: str, at: datetime = NOW, **more: str | int
    ) -> WrittenLedger:
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        issuer = CA_KEY if role == "leaf" else ROOT_KEY
        self.add(
            "intent",
            at,
            serial=serial(certificate),
            role=role,
            subject=subject,
            spki_sha256=spki_sha256(key),
            issuer_spki_sha256=spki_sha256(issuer.public_key()),
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            **more,
        )
        digest = certificate.fingerprint(hashes.SHA256()).hex()
        return self.add("issued", at, serial=serial(certificate), certificate_sha256=digest, **more)

    def sign_leaf(
        self, certificate: x509.Certificate, at: datetime = NOW, **more: str | int
    ) -> WrittenLedger:
        name = str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
        return self.sign(certificate, "leaf", f"spiffe://{DOMAIN}/{name}", at, **more)


def begun_ledger(**more: str | int) -> WrittenLedger:
    """Return a ledger with a root and an intermediate."""
    day = NOW - timedelta(days=20)
    return (
        WrittenLedger().sign(ROOT, "root", DOMAIN, day, **more).sign(CA, "intermediate", DOMAIN, day, **more)
    )


def authority_material(
    plan: CertificatePlan = CA_PLAN,
    certificate: x509.Certificate = CA,
    key: KeyFile | None = OWN_KEY,
    *,
    trusted: bool = False,
    issuing: bool = True,
    custody: str | None = "passphrase (scrypt, AES-256-GCM)",
) -> AuthorityMaterial:
    """Return the intermediate as it lies on disk."""
    public_key = certificate.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    authority = authority_id(plan, public_key)
    record = AuthorityRecord(
        authority, certificate, trusted=trusted, issuing=issuing, listed=issuing, crl=None
    )
    return AuthorityMaterial(record, f"ca/{authority}", key, custody)


def leaf_material(
    certificate: x509.Certificate | None, name: str = "gateway", number: int = 1
) -> LeafMaterial:
    """Return the current generation of a workload."""
    key = KeyFile(0, 1001, 0o640, "root", "cm-gateway")
    return LeafMaterial(name, f"live/{name}/gen-{number:04}", True, certificate, key)


def material(ledger: WrittenLedger, *leaves: LeafMaterial, authorities: int = 2) -> InventoryMaterial:
    """Return a tree: root, intermediate, and these leaves."""
    root = authority_material(ROOT_PLAN, ROOT, trusted=True, issuing=False, custody="shares, 2 of 3")
    found = (authority_material(), root)[:authorities]
    return InventoryMaterial(DOMAIN, found, leaves, read_history(ledger.lines))
