"""The signature algorithms of RFC 9421 §3.3, for reading other people's vectors alone.

The product offers two of them; the rest is here because the RFC's examples use it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_PSS_SALT_BYTES = 64  # §3.3.1 fixes it; a library's default may be another
_HALF = 32
_PSS = padding.PSS(padding.MGF1(hashes.SHA512()), _PSS_SALT_BYTES)


def verify(algorithm: str, key: bytes, signature: bytes, base: bytes) -> None:
    """Return if the signature is right.

    Args:
        algorithm: a name of the RFC's registry.
        key: a PEM public key, or the shared secret.
        signature: raw bytes, r || s for ECDSA.
        base: the bytes that were signed.

    Raises:
        InvalidSignature: it is not.
    """
    if algorithm == "hmac-sha256":
        if not hmac.compare_digest(hmac.digest(key, base, "sha256"), signature):
            raise InvalidSignature
        return
    public = serialization.load_pem_public_key(key)
    if algorithm == "rsa-pss-sha512":
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature, base, _PSS, hashes.SHA512())
    elif algorithm == "rsa-v1_5-sha256":
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature, base, padding.PKCS1v15(), hashes.SHA256())
    elif algorithm == "ecdsa-p256-sha256":
        assert isinstance(public, ec.EllipticCurvePublicKey)
        r, s = int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big")
        public.verify(encode_dss_signature(r, s), base, ec.ECDSA(hashes.SHA256()))
    else:
        assert (algorithm, isinstance(public, ed25519.Ed25519PublicKey)) == ("ed25519", True)
        public.verify(signature, base)  # type: ignore[call-arg,union-attr]  # asserted the line above


def sign(algorithm: str, key: bytes, base: bytes) -> bytes:
    """Sign with a TEST key, PEM or shared secret."""
    if algorithm == "hmac-sha256":
        return hmac.digest(key, base, "sha256")
    private: Any = serialization.load_pem_private_key(key, None)
    with_key: dict[str, Callable[[], bytes]] = {
        "rsa-pss-sha512": lambda: private.sign(base, _PSS, hashes.SHA512()),
        "rsa-v1_5-sha256": lambda: private.sign(base, padding.PKCS1v15(), hashes.SHA256()),
        "ecdsa-p256-sha256": lambda: _raw(private.sign(base, ec.ECDSA(hashes.SHA256()))),
        "ed25519": lambda: private.sign(base),
    }
    return with_key[algorithm]()


def _raw(der: bytes) -> bytes:
    return b"".join(number.to_bytes(_HALF, "big") for number in decode_dss_signature(der))
