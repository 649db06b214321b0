"""Leaves of any age for the tests of the daemon's schedule, and a ledger's lines."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])


@cache
def leaf(begin: datetime, life: timedelta, serial: int = 1) -> x509.Certificate:
    """A certificate of these dates; it fits no profile, for the schedule looks at dates alone."""
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .sign(KEY, hashes.SHA256())
    )


def revocation_list(begin: datetime, life: timedelta) -> x509.CertificateRevocationList:
    return (
        x509.CertificateRevocationListBuilder(NAME, begin, begin + life)
        .add_extension(x509.CRLNumber(1), critical=False)
        .sign(KEY, hashes.SHA256())
    )
