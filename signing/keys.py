"""Keys: a local private key that signs, a public key that verifies.

A key's id is its RFC 7638 thumbprint, so a key id commits to the key itself. Two
algorithms exist, and the key decides which. Loading refuses every other kind of
key, and every weak or non-canonical spelling of a right one.
Source: RFC 7517, 7518 §6.2, 7638, 8037; RFC 9421 §3.3.4 and §3.3.6.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Protocol, get_args

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from .edwards_point import require_safe_point
from .errors import KeyRefused, SignatureInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

Algorithm = Literal["ed25519", "ecdsa-p256-sha256"]

ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
SIGNATURE_BYTES: Final = 64  # both algorithms: R || S, and r || s of 32 bytes each (RFC 9421 §3.3.4)
_COORDINATE_BYTES: Final = 32
_ECDSA = ec.ECDSA(hashes.SHA256())
# 32 bytes in base64url without padding: 43 characters, of which the last holds four bits.
_BASE64URL_32 = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
# What a JWK may carry beside the members that make the key, and the values these may have.
_JWK_OPTIONAL: Final[dict[Algorithm, dict[str, frozenset[str]]]] = {
    "ed25519": {"use": frozenset({"sig"}), "alg": frozenset({"EdDSA", "Ed25519"})},
    "ecdsa-p256-sha256": {"use": frozenset({"sig"}), "alg": frozenset({"ES256"})},
}


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


class VerifyingKey:
    """A public key of one of the two algorithms. Immutable; equal when the key id is equal."""

    __slots__ = ("_public", "alg", "key_id")

    _public: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
    alg: Algorithm
    key_id: str

    def __init__(self, public: object) -> None:
        """Wrap a public key of `cryptography`.

        Raises:
            KeyRefused: another kind or curve, or a weak or non-canonical Ed25519 point.
        """
        if isinstance(public, ed25519.Ed25519PublicKey):
            require_safe_point(public.public_bytes_raw())
            self.alg = "ed25519"
            self._public = public
        elif isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
            self.alg = "ecdsa-p256-sha256"
            self._public = public
        else:
            raise KeyRefused("only Ed25519 and ECDSA P-256 keys can be used")
        self.key_id = _thumbprint(_jwk_members(self._public))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> VerifyingKey:
        """Load a public JWK.

        Args:
            jwk: `kty`, `crv`, `x` (and `y`), with at most `kid`, `use` and `alg` beside them.

        Raises:
            KeyRefused: a private or unknown member, a non-canonical value, a `kid` that is not
                the thumbprint, or a key that is not safe.
        """
        if "d" in jwk:
            raise KeyRefused("this JWK holds a private key: keep it to yourself, and send the public one")
        match jwk.get("kty"), jwk.get("crv"):
            case "OKP", "Ed25519":
                try:
                    key = cls(ed25519.Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x")))
                except ValueError as error:
                    raise KeyRefused("the JWK is not an Ed25519 key") from error
            case "EC", "P-256":
                x, y = _coordinate(jwk, "x"), _coordinate(jwk, "y")
                numbers = ec.EllipticCurvePublicNumbers(
                    int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
                )
                try:
                    key = cls(numbers.public_key())
                except ValueError as error:
                    raise KeyRefused("the JWK is not a point of P-256") from error
            case _:
                raise KeyRefused('a JWK must be {"kty":"OKP","crv":"Ed25519"} or {"kty":"EC","crv":"P-256"}')
        _require_optional_members(jwk, key)
        return key

    def to_jwk(self) -> dict[str, str]:
        """Return the public JWK with `kid`, `use` and `alg`."""
        return {
            **_jwk_members(self._public),
            "kid": self.key_id,
            "use": "sig",
            "alg": "EdDSA" if self.alg == "ed25519" else "ES256",
        }

    @classmethod
    def from_spki_pem(cls, pem: bytes) -> VerifyingKey:
        """Load a PEM `PUBLIC KEY` (SubjectPublicKeyInfo).

        Raises:
            KeyRefused: not such a PEM, another kind of key, or a key that is not safe.
        """
        try:
            public = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyRefused("this is no PEM public key of a supported kind") from error
        return cls(public)

    def to_spki_pem(self) -> bytes:
        """Return the PEM `PUBLIC KEY`, which `openssl pkey -pubin` reads."""
        return self._public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verify(self, signature: bytes, base: bytes) -> None:
        """Return if the signature over exactly these bytes is by this key.

        Args:
            signature: 64 raw bytes, r || s for ECDSA.
            base: the bytes that were signed.

        Raises:
            SignatureInvalid: in every other case.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise SignatureInvalid(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        try:
            if isinstance(self._public, ed25519.Ed25519PublicKey):
                self._public.verify(signature, base)
            else:
                r = int.from_bytes(signature[:_COORDINATE_BYTES], "big")
                s = int.from_bytes(signature[_COORDINATE_BYTES:], "big")
                self._public.verify(encode_dss_signature(r, s), base, _ECDSA)
        except InvalidSignature as error:
            raise SignatureInvalid("the signature does not verify under this key") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyingKey) and self.key_id == other.key_id

    def __hash__(self) -> int:
        return hash(self.key_id)

    def __repr__(self) -> str:
        return f"VerifyingKey({self.alg}, {self.key_id})"


class SigningKey:
    """A private key held in this process's memory."""

    __slots__ = ("_private", "verifying_key")

    verifying_key: VerifyingKey

    def __init__(self, private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        """Wrap a key of `cryptography`.

        Raises:
            KeyRefused: another curve.
        """
        self._private = private
        self.verifying_key = VerifyingKey(private.public_key())

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

    @property
    def alg(self) -> Algorithm:
        """The algorithm that this key signs with."""
        return self.verifying_key.alg

    @property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint of the public key, 43 characters."""
        return self.verifying_key.key_id

    def sign(self, base: bytes) -> bytes:
        """Return 64 raw bytes: the signature over exactly these bytes, r || s for ECDSA."""
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(base)
        r, s = decode_dss_signature(self._private.sign(base, _ECDSA))
        return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")

    def __repr__(self) -> str:
        return f"SigningKey({self.alg}, {self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; use to_pem with a password")


def _jwk_members(public: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(public.public_bytes_raw())}
    numbers = public.public_numbers()
    x, y = (n.to_bytes(_COORDINATE_BYTES, "big") for n in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": _base64url(x), "y": _base64url(y)}


def _thumbprint(members: dict[str, str]) -> str:
    # RFC 7638 §3.3: required members alone, sorted by name, no white space. The values are base64url and
    # fixed words, so that nothing needs escaping.
    text = ",".join(f'"{name}":"{members[name]}"' for name in sorted(members))
    return _base64url(hashlib.sha256(f"{{{text}}}".encode("ascii")).digest())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _coordinate(jwk: Mapping[str, object], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or _BASE64URL_32.fullmatch(value) is None:
        raise KeyRefused(f"the JWK member {name} must be 32 bytes in base64url without padding")
    return base64.urlsafe_b64decode(value + "=")


def _require_optional_members(jwk: Mapping[str, object], key: VerifyingKey) -> None:
    allowed = {**_JWK_OPTIONAL[key.alg], "kid": frozenset({key.key_id})}
    for name, value in jwk.items():
        if name in {"kty", "crv", "x"} or (name == "y" and key.alg == "ecdsa-p256-sha256"):
            continue
        if name not in allowed:
            raise KeyRefused("the JWK has a member that a public signature key does not have")
        if not isinstance(value, str) or value not in allowed[name]:
            raise KeyRefused(f"the JWK member {name} does not fit the key")
