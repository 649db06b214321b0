"""Keys that live elsewhere: an HSM or a key service signs, and what it answers is verified here.

Asking is left to the caller, who owns the service's client; what comes back is
never believed. A signature that does not verify under the public key is an error
at its source, not a refusal by the gateway minutes later.
Source: RFC 9421 §3.3.4 (r || s), RFC 3279 §2.2.3 (the DER form of key services).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from . import profile
from .client_errors import RemoteSignatureInvalid
from .errors import KeyRefused, SignatureInvalid
from .keys import SIGNATURE_BYTES
from .request_signing import prepare_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .keys import Algorithm, VerifyingKey
    from .message import Request

SignatureForm = Literal["raw", "der"]
_INTEGER_BYTES: Final = SIGNATURE_BYTES // 2


class AsyncSigner(Protocol):
    """Whatever signs with one private key and has to be waited for.

    `sign` returns 64 bytes (r || s for ECDSA) over exactly the bytes given, is called once for each
    signature, possibly several at a time, and raises whatever its own transport raises.
    """

    @property
    def alg(self) -> Algorithm: ...

    @property
    def key_id(self) -> str: ...

    @property
    def verifying_key(self) -> VerifyingKey: ...

    async def sign(self, base: bytes, /) -> bytes: ...


class VerifiedSigner:
    """A remote key as a `Signer`: each signature is verified locally before it is used.

    Args:
        verifying_key: the public half, from the key service's own export.
        sign: asks the service to sign these bytes (the message itself, not its digest).
        form: `der` where the service answers ECDSA in DER, as AWS KMS and Google Cloud KMS do;
            `raw` for 64 bytes, as PKCS#11 answers, and always for Ed25519.

    Raises:
        KeyRefused: DER was asked for with an Ed25519 key, which has no such form.
    """

    def __init__(
        self, verifying_key: VerifyingKey, sign: Callable[[bytes], bytes], *, form: SignatureForm = "raw"
    ) -> None:
        _require_form(verifying_key, form)
        self._sign = sign
        self._form = form
        self.verifying_key = verifying_key

    @property
    def alg(self) -> Algorithm:
        """The algorithm of the remote key."""
        return self.verifying_key.alg

    @property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint of the remote key."""
        return self.verifying_key.key_id

    def sign(self, base: bytes, /) -> bytes:
        """Return 64 raw bytes that verify.

        Raises:
            RemoteSignatureInvalid: the service answered something else.
        """
        return require_own_signature(self.verifying_key, base, self._sign(base), self._form)


class AsyncVerifiedSigner:
    """A remote key as an `AsyncSigner`; what `VerifiedSigner` is for a service that is awaited."""

    def __init__(
        self,
        verifying_key: VerifyingKey,
        sign: Callable[[bytes], Awaitable[bytes]],
        *,
        form: SignatureForm = "raw",
    ) -> None:
        _require_form(verifying_key, form)
        self._sign = sign
        self._form = form
        self.verifying_key = verifying_key

    @property
    def alg(self) -> Algorithm:
        """The algorithm of the remote key."""
        return self.verifying_key.alg

    @property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint of the remote key."""
        return self.verifying_key.key_id

    async def sign(self, base: bytes, /) -> bytes:
        """Return 64 raw bytes that verify.

        Raises:
            RemoteSignatureInvalid: the service answered something else.
        """
        return require_own_signature(self.verifying_key, base, await self._sign(base), self._form)


def require_own_signature(key: VerifyingKey, base: bytes, answer: object, form: SignatureForm) -> bytes:
    """Return a key service's answer as 64 raw bytes, if it is this key's signature over these bytes.

    Raises:
        RemoteSignatureInvalid: in every other case.
    """
    if not isinstance(answer, bytes):
        raise RemoteSignatureInvalid("the key service must answer with bytes")
    signature = _from_der(answer) if form == "der" else answer
    try:
        key.verify(signature, base)
    except SignatureInvalid as error:
        raise RemoteSignatureInvalid(
            f"the key service's answer is no signature by {key.key_id}: {error}. Does it hold this key, is "
            f"it given the message and not a digest, and is its answer in the {form} form?"
        ) from error
    return signature


async def sign_request_async(
    request: Request,
    signer: AsyncSigner,
    *,
    now: int,
    nonce: str,
    lifetime_s: int = profile.LIFETIME_S_MAX,
) -> tuple[tuple[str, str], ...]:
    """Do what `sign_request` does, with a key that has to be waited for.

    Raises:
        UnsignableRequest: the gateway would refuse it; the key is not asked.
        RemoteSignatureInvalid: an `AsyncVerifiedSigner` was answered something else.
    """
    prepared = prepare_request(
        request, key_id=signer.key_id, alg=signer.alg, now=now, nonce=nonce, lifetime_s=lifetime_s
    )
    return prepared.attach(await signer.sign(prepared.signature_base))


def _require_form(key: VerifyingKey, form: SignatureForm) -> None:
    if form == "der" and key.alg == "ed25519":
        raise KeyRefused("an Ed25519 signature is 64 raw bytes everywhere: leave the form at raw")


def _from_der(answer: bytes) -> bytes:
    try:
        r, s = decode_dss_signature(answer)
        return r.to_bytes(_INTEGER_BYTES, "big") + s.to_bytes(_INTEGER_BYTES, "big")
    except (ValueError, OverflowError) as error:
        raise RemoteSignatureInvalid("the key service's answer is no ECDSA signature in DER") from error
