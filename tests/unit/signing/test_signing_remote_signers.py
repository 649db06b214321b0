from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from signing import (
    AsyncVerifiedSigner,
    KeyRefused,
    RemoteSignatureInvalid,
    SigningKey,
    UnsignableRequest,
    VerifiedSigner,
    sign_request,
    sign_request_async,
    verify_request,
)
from tests.unit.signing import signing_samples as samples

P256, ED25519 = samples.MERCHANT_P256, samples.MERCHANT_ED25519


def der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


class Service:
    """A key service that counts what it is asked, and answers in DER as the clouds do, or raw."""

    def __init__(self, key: SigningKey, form: str = "raw", spoil: bytes | None = None) -> None:
        self.key, self.form, self.spoil, self.asked = key, form, spoil, 0

    def sign(self, base: bytes) -> bytes:
        self.asked += 1
        if self.spoil is not None:
            return self.spoil
        return der(self.key.sign(base)) if self.form == "der" else self.key.sign(base)

    async def sign_async(self, base: bytes) -> bytes:
        return self.sign(base)


@pytest.mark.parametrize(("key", "form"), [(P256, "raw"), (P256, "der"), (ED25519, "raw")])
async def test_a_remote_key_signs_requests_that_verify(key: SigningKey, form: Any) -> None:
    service = Service(key, form)
    remote = VerifiedSigner(key.verifying_key, service.sign, form=form)
    awaited = AsyncVerifiedSigner(key.verifying_key, service.sign_async, form=form)
    request = samples.payment()
    fields = sign_request(request, remote, now=samples.NOW, nonce=samples.NONCE)
    later = await sign_request_async(request, awaited, now=samples.NOW, nonce=samples.NONCE)
    for each in (fields, later):
        verified = verify_request(
            samples.parsed(request.with_headers(each)), key.verifying_key, now=samples.NOW
        )

        assert (key.key_id, key.alg) == (verified.key_id, verified.alg)
    assert 2 == service.asked


def test_a_der_integer_shorter_than_32_bytes_is_padded() -> None:
    # About one signature in 256 has a leading zero in r; sign until one does.
    remote = VerifiedSigner(P256.verifying_key, Service(P256, "der").sign, form="der")
    signatures = (remote.sign(f"message {n}".encode()) for n in range(20_000))
    padded = next(signature for signature in signatures if signature[0] == 0)

    assert 64 == len(padded)


_WRONG = {
    "another key's": SigningKey.generate("ecdsa-p256-sha256").sign(b"base"),
    "empty": b"",
    "too short": b"\x00" * 63,
    "zero": b"\x00" * 64,
    "der where raw was promised": der(P256.sign(b"base")),
    "over a digest": P256.sign(b"another message"),
}


@pytest.mark.parametrize("answer", _WRONG.values(), ids=_WRONG.keys())
async def test_what_does_not_verify_is_not_used(answer: bytes) -> None:
    service = Service(P256, spoil=answer)
    with pytest.raises(RemoteSignatureInvalid) as refused:
        VerifiedSigner(P256.verifying_key, service.sign).sign(b"base")
    with pytest.raises(RemoteSignatureInvalid):
        await AsyncVerifiedSigner(P256.verifying_key, service.sign_async).sign(b"base")

    assert "remote_signature_invalid" == refused.value.code


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x30\x00", P256.sign(b"base"), encode_dss_signature(1 << 300, 1), encode_dss_signature(0, 0),
     der(P256.sign(b"base")) + b"\x00", encode_dss_signature(1, 1)],
    ids=["empty", "empty sequence", "raw", "too long", "zero", "trailing byte", "ones"],
)  # fmt: skip
def test_what_is_no_der_signature_by_the_key_is_refused(answer: bytes) -> None:
    with pytest.raises(RemoteSignatureInvalid):
        VerifiedSigner(P256.verifying_key, lambda _: answer, form="der").sign(b"base")


def test_an_answer_that_is_no_bytes_is_refused() -> None:
    with pytest.raises(RemoteSignatureInvalid):
        VerifiedSigner(P256.verifying_key, lambda _: "text").sign(b"base")  # type: ignore[arg-type, return-value]


def test_der_is_not_for_ed25519() -> None:
    for kind in (VerifiedSigner, AsyncVerifiedSigner):
        with pytest.raises(KeyRefused):
            kind(ED25519.verifying_key, ED25519.sign, form="der")  # type: ignore[arg-type, unused-ignore]


async def test_a_remote_key_is_not_asked_for_what_cannot_be_signed() -> None:
    service = Service(P256)
    with pytest.raises(UnsignableRequest):
        await sign_request_async(
            samples.payment(target="/v1//payments"),
            AsyncVerifiedSigner(P256.verifying_key, service.sign_async),
            now=samples.NOW,
            nonce=samples.NONCE,
        )

    assert 0 == service.asked


def test_what_the_service_raises_comes_through() -> None:
    def fail(_: bytes) -> bytes:
        raise ConnectionError("the service is away")

    with pytest.raises(ConnectionError):
        VerifiedSigner(P256.verifying_key, fail).sign(b"base")
