"""What a leaf's issuer signs, as bytes: all leaves of one issuer and one moment differ in five places.

A general encoder spends more on a certificate than its signature costs. Here what is the same for a whole
batch is encoded once, by the library, and the five places are filled in: serial number, subject, key, names,
key identifier. Nothing rests on these bytes being right: each leaf is read back by the library's parser and
passes the lint before it is signed. Pure. Source: RFC 5280 §4.1, §4.2.1; X.690 §8, §10 (DER).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography import x509

from pki.profiles import Profile, extensions

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import ec

    from pki.identity import WorkloadIdentity

_INTEGER: Final = 0x02
_BIT_STRING: Final = 0x03
_OCTET_STRING: Final = 0x04
_UTF8_STRING: Final = 0x0C
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
# Context tags: the version, the extensions, and the two kinds of a GeneralName that leaves have.
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_DNS_NAME: Final = 0x82
_URI: Final = 0x86
_TRUE: Final = bytes.fromhex("0101ff")
_VERSION_3: Final = bytes.fromhex("a003020102")
_ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_COMMON_NAME: Final = bytes.fromhex("0603550403")
_SUBJECT_KEY_IDENTIFIER: Final = bytes.fromhex("0603551d0e")
_SUBJECT_ALTERNATIVE_NAME: Final = bytes.fromhex("0603551d11")
# What stands before the point in a SubjectPublicKeyInfo of P-256; RFC 5280 §4.2.1.2 hashes only the point.
_BEFORE_POINT_BYTES: Final = 26
# One octet holds a length below this; above it says how many octets follow.
_SHORT_LENGTHS: Final = 0x80
# From this year on RFC 5280 §4.1.2.5 wants the other form of a time.
_GENERALIZED_TIME_FROM: Final = 2050
# r = s = 1: a signature that is well formed and verifies under no key anybody has, for what is only read.
UNSIGNED: Final = bytes.fromhex("3006020101020101")


def certificate_bytes(to_be_signed: bytes, signature: bytes) -> bytes:
    """Return the DER of a certificate from what was signed and its ECDSA signature (DER)."""
    return _tlv(_SEQUENCE, to_be_signed + _ECDSA_WITH_SHA256 + _tlv(_BIT_STRING, b"\0" + signature))


class LeafEncoding:
    """Encodes leaves of one profile, one issuer and one validity."""

    def __init__(
        self,
        profile: Profile,
        *,
        issuer: x509.Certificate,
        issuer_key_id: bytes,
        not_before: datetime,
        not_after: datetime,
    ) -> None:
        """Encode what these leaves have in common.

        Args:
            profile: of a leaf.
            issuer: the signer's certificate.
            issuer_key_id: of the key that will sign.
            not_before: UTC, whole seconds.
            not_after: UTC, whole seconds.
        """
        self._profile = profile
        self._issuer_key_id = issuer_key_id
        self._constant: dict[x509.ObjectIdentifier, bytes] = {}
        validity = _tlv(_SEQUENCE, _time(not_before) + _time(not_after))
        self._issuer_and_validity = _ECDSA_WITH_SHA256 + issuer.subject.public_bytes() + validity

    def to_be_signed(
        self,
        identity: WorkloadIdentity,
        *,
        public_key: ec.EllipticCurvePublicKey,
        spki: bytes,
        serial: int,
    ) -> bytes:
        """Return the TBSCertificate of one leaf.

        Args:
            identity: whose.
            public_key: the subject's.
            spki: the same key, as SubjectPublicKeyInfo.
            serial: positive.
        """
        name = identity.name.encode()
        subject = _tlv(_SET, _tlv(_SEQUENCE, _COMMON_NAME + _tlv(_UTF8_STRING, name)))
        names = _tlv(_URI, str(identity).encode()) + _tlv(_DNS_NAME, identity.dns_name.encode())
        key_id = hashlib.sha1(spki[_BEFORE_POINT_BYTES:], usedforsecurity=False).digest()
        own = {
            x509.SubjectAlternativeName.oid: _tlv(
                _SEQUENCE,
                _SUBJECT_ALTERNATIVE_NAME + _tlv(_OCTET_STRING, _tlv(_SEQUENCE, names)),
            ),
            x509.SubjectKeyIdentifier.oid: _tlv(
                _SEQUENCE,
                _SUBJECT_KEY_IDENTIFIER + _tlv(_OCTET_STRING, _tlv(_OCTET_STRING, key_id)),
            ),
        }
        constant = self._constant or self._encode_constant(identity, public_key)
        written = b"".join([own.get(oid, encoded) for oid, encoded in constant.items()])
        return _tlv(
            _SEQUENCE,
            b"".join(
                (
                    _VERSION_3,
                    _tlv(_INTEGER, serial.to_bytes(serial.bit_length() // 8 + 1)),
                    self._issuer_and_validity,
                    _tlv(_SEQUENCE, subject),
                    spki,
                    _tlv(_EXTENSIONS, _tlv(_SEQUENCE, written)),
                )
            ),
        )

    def _encode_constant(
        self, identity: WorkloadIdentity, public_key: ec.EllipticCurvePublicKey
    ) -> dict[x509.ObjectIdentifier, bytes]:
        """Encode the profile's extensions in its order; those of one leaf's own are replaced each time."""
        self._constant = {
            extension.oid: _tlv(
                _SEQUENCE,
                _object_identifier(extension.oid)
                + (_TRUE if critical else b"")
                + _tlv(_OCTET_STRING, extension.public_bytes()),
            )
            for extension, critical in extensions(
                self._profile,
                trust_domain=identity.trust_domain,
                identity=identity,
                public_key=public_key,
                issuer_key_id=self._issuer_key_id,
            )
        }
        return self._constant


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _SHORT_LENGTHS:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, _SHORT_LENGTHS | len(octets))) + octets + content


def _time(instant: datetime) -> bytes:
    if instant.year < _GENERALIZED_TIME_FROM:
        return _tlv(_UTC_TIME, f"{instant:%y%m%d%H%M%SZ}".encode())
    return _tlv(_GENERALIZED_TIME, f"{instant:%Y%m%d%H%M%SZ}".encode())


def _object_identifier(oid: x509.ObjectIdentifier) -> bytes:
    """Encode an identifier of certificate extensions, all below 2.5.29 and short."""
    first, second, *rest = (int(arc) for arc in oid.dotted_string.split("."))
    return _tlv(0x06, bytes((first * 40 + second, *rest)))
