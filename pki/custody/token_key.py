"""A P-256 key that lives in a PKCS #11 token, as the kind of object that `cryptography` signs with.

Every use logs in, signs and logs out, so the token is open for milliseconds and is asked again each time. A
token chooses its own nonces: a wish for deterministic signatures (RFC 6979) is not refused but cannot be
granted, which costs the repeatability of signatures and nothing that is checked. Source: PKCS #11 3.0 §6.3.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.util.ec import encode_ecdsa_signature

from pki.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cryptography.utils import Buffer

# PKCS #11 has one login for each process and token: two uses at once would log each other out.
_ONE_LOGIN = threading.Lock()
_KEY_BITS = 256
# Refusals that an operator can act on; anything else is shown by its PKCS #11 name.
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (pkcs11.PinIncorrect, "the PIN is wrong; tokens lock after a few tries, so make sure before the next"),
    (pkcs11.PinLenRange, "the PIN has an impossible length; make sure before the next try"),
    (pkcs11.PinInvalid, "the PIN has characters that the token does not take"),
    (pkcs11.PinLocked, "the PIN is locked after too many tries: reset it as the security officer"),
    (pkcs11.PinExpired, "the PIN must be changed before the token can be used"),
    (pkcs11.UserPinNotInitialized, "the token has no user PIN yet: set one with the maker's tool"),
    (pkcs11.NoSuchToken, "there is no such token: insert it, or correct its label"),
    (pkcs11.TokenNotPresent, "the token was taken out: insert it"),
    (pkcs11.DeviceRemoved, "the token was taken out: insert it"),
    (pkcs11.MultipleTokensReturned, "several tokens have this label: take the others out"),
    (pkcs11.NoSuchKey, "the token does not hold this key: it is another token, or the key was destroyed"),
    (pkcs11.TokenWriteProtected, "the token is write-protected"),
    (pkcs11.DeviceMemory, "the token is full: destroy keys of retired authorities"),
    (pkcs11.MechanismInvalid, "the token cannot do ECDSA over P-256"),
)


@dataclass(frozen=True, slots=True)
class Token:
    """Where keys are: the path of a PKCS #11 module, the label of one token, its user PIN."""

    module: str
    label: str
    pin: str = field(repr=False)

    @contextmanager
    def session(self, *, write: bool = False) -> Iterator[Any]:
        """Log in for one use.

        Raises:
            SealError: whatever the token refuses, then or during the use.
        """
        with _ONE_LOGIN:
            try:
                library = pkcs11.lib(self.module)
            except (RuntimeError, OSError) as fault:
                raise SealError(
                    f"the PKCS #11 module {self.module} cannot be loaded ({fault}): "
                    "install the token's software, or correct the path"
                ) from fault
            try:
                with library.get_token(token_label=self.label).open(rw=write, user_pin=self.pin) as session:
                    yield session
            except pkcs11.PKCS11Error as fault:
                raise SealError(f"token {self.label!r}: {_advice(fault)}") from fault


class TokenKey(ec.EllipticCurvePrivateKey):
    """A key in a token: it signs, and never leaves."""

    def __init__(self, token: Token, key_id: bytes, public_key: ec.EllipticCurvePublicKey) -> None:
        self._token = token
        self._key_id = key_id
        self._public_key = public_key

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign with the token, and check what it signed.

        Args:
            data: the message, hashed here; the token sees its digest.
            signature_algorithm: ECDSA with SHA-256; `deterministic_signing` cannot be granted.

        Returns:
            The signature, DER.

        Raises:
            SealError: the token refused, or is gone, or signed wrongly.
        """
        algorithm = signature_algorithm.algorithm
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(algorithm, hashes.SHA256):
            raise SealError("a key in a token signs with ECDSA and SHA-256 and nothing else")
        digest = hashes.Hash(algorithm)
        digest.update(data)
        with self._token.session() as session:
            key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC, id=self._key_id)
            raw = key.sign(digest.finalize(), mechanism=pkcs11.Mechanism.ECDSA)
        # A fault in the token, or a token that was swapped, must not reach a certificate.
        refusal = SealError(
            f"token {self._token.label!r} made a signature that does not verify: it is broken"
        )
        try:
            signature = encode_ecdsa_signature(raw)
            self._public_key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as fault:
            raise refusal from fault
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return _KEY_BITS

    def exchange(self, *_: object, **__: object) -> NoReturn:
        """Refuse: it signs, and does nothing else."""
        raise SealError("a key in a token signs, and agrees on no secrets")

    def private_numbers(self) -> NoReturn:
        """Refuse: it never leaves the token."""
        raise SealError("this key never leaves its token: it cannot be copied or sealed")

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Refuse: it never leaves the token."""
        self.private_numbers()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenKey:
        return self


def _advice(fault: Exception) -> str:
    for kind, advice in _ADVICE:
        if isinstance(fault, kind):
            return advice
    return f"it refused with {type(fault).__name__}"
