"""The demonstration merchant's own TLS certificate for its webhook receiver, signed by itself.

It belongs to the merchant's world: nothing of it is known to the mesh but the one trust file that lets
notifications verify it, as a public authority would for a real merchant.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from compose.launcher.accounts import Account
from compose.launcher.layout import write_readable
from compose.launcher.ports import LOOPBACK

LIFE_DAYS = (
    90  # What public authorities give at the most these days; a start makes a new one when half is over.
)
CERTIFICATE_FILE = "receiver.cert.pem"
KEY_FILE = "receiver.key.pem"


def provide_receiver_certificate(folder: Path, merchant: Account, trust: Path, reader: Account) -> None:
    """Make certificate and key in the merchant's folder if needed, and copy the certificate to `trust`."""
    certificate = folder / CERTIFICATE_FILE
    if (
        not certificate.exists()
        or not (folder / KEY_FILE).exists()
        or _is_half_over(certificate.read_bytes())
    ):
        pair = _self_signed(datetime.now(UTC))
        write_readable(folder / KEY_FILE, pair[1], merchant)
        write_readable(certificate, pair[0], merchant)
    write_readable(trust, certificate.read_bytes(), reader)


def _is_half_over(pem: bytes) -> bool:
    left = x509.load_pem_x509_certificate(pem).not_valid_after_utc - datetime.now(UTC)
    return left < timedelta(days=LIFE_DAYS / 2)


def _self_signed(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demonstration merchant")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=LIFE_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret
