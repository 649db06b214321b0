"""The private key that signs, and what any other signer must be like.

Source: RFC 9421 §3.3.4 and §3.3.6, RFC 5958.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from .ecdsa_form import ECDSA, raw_from_der
from .errors import KeyRefused
from .verifying_key import ALGORITHMS, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from .verifying_key import Algorithm


class Signer(Protocol):
    """Whatever can sign with one private key: a local key, an HSM, a key service.

    `sign` returns 64 bytes (r || s for ECDSA) over exactly the bytes given, and is called once
    for each signature; it may block, and raises whatever its own transport raises.
    """

    @property
    def alg(self) -> Algorithm: ...

    @property
    def key_id(self) -> str: ...

    def sign(self, base: bytes, /) -> bytes: ...


class SigningKey:
    """A private key held in this process's memory.

    Attributes:
        verifying_key: its public key.
        alg: the algorithm that it signs with.
        key_id: the RFC 7638 thumbprint of the public key, 43 characters.
    """

    __slots__ = ("_private", "_sign", "alg", "key_id", "verifying_key")

    verifying_key: VerifyingKey
    alg: Algorithm
    key_id: str
    _sign: Callable[[bytes], bytes]  # bound here once, so that signing asks for no types

    def __init__(self, private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        """Wrap a key of `cryptography`.

        Raises:
            KeyRefused: another curve.
        """
        self._private = private
        self.verifying_key = VerifyingKey(private.public_key())
        self.alg = self.verifying_key.alg
        self.key_id = self.verifying_key.key_id
        self._sign = private.sign if isinstance(private, ed25519.Ed25519PrivateKey) else _raw_signer(private)

    @classmethod
    def generate(cls, alg: Algorithm) -> SigningKey:
        """Make a new key with the operating system's randomness.

        Raises:
            KeyRefused: an unknown algorithm.
        """
        if alg == "ed25519":
            return cls(ed25519.Ed25519PrivateKey.generate())
        if alg == "ecdsa-p256-sha256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        raise KeyRefused("the algorithms are " + " and ".join(ALGORITHMS))

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> SigningKey:
        """Load a PEM private key.

        Args:
            pem: PKCS#8, plain or encrypted.
            password: for an encrypted key alone; a superfluous one is refused.

        Raises:
            KeyRefused: not such a PEM, a wrong or missing password, or another kind of key.
        """
        try:
            private = serialization.load_pem_private_key(pem, password)
        except TypeError as error:
            needs = "needs its" if password is None else "takes no"
            raise KeyRefused(f"this private key {needs} password") from error
        except (ValueError, UnsupportedAlgorithm, InternalError):  # InternalError: X448 of a wrong length
            # The cause is cut off: what a PEM decoder quotes could be key material.
            raise KeyRefused(
                "this is no PEM private key of a supported kind, or the password is wrong"
            ) from None
        if not isinstance(private, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
            raise KeyRefused("only Ed25519 and ECDSA P-256 keys can be used")
        return cls(private)

    def to_pem(self, password: bytes | None = None) -> bytes:
        """Return PKCS#8 PEM, encrypted if a password is given."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def sign(self, base: bytes) -> bytes:
        """Return 64 raw bytes: the signature over exactly these bytes, r || s for ECDSA."""
        return self._sign(base)

    def __repr__(self) -> str:
        return f"SigningKey({self.alg}, {self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; use to_pem with a password")


def _raw_signer(private: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    sign = private.sign

    def sign_raw(base: bytes) -> bytes:
        return raw_from_der(sign(base, ECDSA))

    return sign_raw
