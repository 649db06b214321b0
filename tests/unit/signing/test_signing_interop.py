"""An independent implementation accepts our signatures, and we accept those it makes of our profile."""

from __future__ import annotations

import datetime as dt
import time
from types import SimpleNamespace
from typing import Any

import pytest
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from signing import (
    Algorithm,
    Request,
    Response,
    SigningKey,
    sign_receipt,
    sign_request,
    verify_receipt,
    verify_request,
)
from signing.digest import content_digest
from tests.unit.signing import signing_samples as samples

_THEIRS: dict[Algorithm, type[Any]] = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
}
_COVERED = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")


def _receipt_covered(request: Request) -> tuple[str, ...]:
    names = _COVERED[:2] if request.method == "GET" else _COVERED
    return (
        '"@status"',
        '"content-type"',
        '"content-digest"',
        *(f'"{name}";req' for name in names),
        '"signature-input";req;key="countermark"',
        '"signature";req;key="countermark"',
    )


class _OneKey(HTTPSignatureKeyResolver):
    def __init__(self, key: SigningKey) -> None:
        self.key = key

    def resolve_public_key(self, key_id: str) -> bytes:
        assert self.key.key_id == key_id
        return self.key.verifying_key.to_spki_pem()

    def resolve_private_key(self, key_id: str) -> bytes:
        assert self.key.key_id == key_id
        return self.key.to_pem()


def _request_view(request: Request) -> SimpleNamespace:
    return SimpleNamespace(method=request.method, url=request.target_uri, headers=dict(request.headers))


def _response_view(response: Response, request: Request) -> SimpleNamespace:
    return SimpleNamespace(
        status_code=response.status, headers=dict(response.headers), request=_request_view(request)
    )


def _signed_now(request: Request, key: SigningKey) -> Request:
    return request.with_headers(sign_request(request, key, now=int(time.time()), nonce=samples.NONCE))


def _from_view(view: SimpleNamespace, body: bytes | None) -> Request:
    return Request(view.method, view.url, tuple(view.headers.items()), body)


def _sign_as_they_do(view: SimpleNamespace, key: SigningKey, covered: tuple[str, ...]) -> None:
    created = dt.datetime.now(dt.UTC)
    HTTPMessageSigner(signature_algorithm=_THEIRS[key.alg], key_resolver=_OneKey(key)).sign(
        view,
        key_id=key.key_id,
        created=created,
        expires=created + dt.timedelta(seconds=200),
        nonce=samples.NONCE,
        label="countermark",
        tag="countermark-request-v1",
        covered_component_ids=covered,
        use_existing_digest="content-digest" in covered,
    )


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
@pytest.mark.parametrize(
    "unsigned", [samples.payment(), samples.inquiry("/v1/payments?a=1&b=2.5")], ids=["post", "get"]
)
def test_their_verifier_accepts_our_requests_and_builds_the_same_base(
    key: SigningKey, unsigned: Request
) -> None:
    request = _signed_now(unsigned, key)
    verifier = HTTPMessageVerifier(signature_algorithm=_THEIRS[key.alg], key_resolver=_OneKey(key))
    (result,) = verifier.verify(
        _request_view(request), expect_tag="countermark-request-v1", body=request.body or b""
    )
    base = "\n".join(f"{name}: {value}" for name, value in result.covered_components.items())

    assert base.encode() == samples.parsed(request).signature_base
    assert (request.body, samples.NONCE) == (result.body, result.nonce)


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
def test_we_accept_requests_that_their_signer_made(key: SigningKey) -> None:
    request = samples.payment().with_headers((("Content-Digest", content_digest(samples.BODY)),))
    view = _request_view(request)
    _sign_as_they_do(view, key, _COVERED)
    verified = verify_request(
        samples.parsed(_from_view(view, request.body)), key.verifying_key, now=int(time.time())
    )

    assert verified.expires - verified.created == 200


@pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
def test_we_accept_gets_that_their_signer_made(key: SigningKey) -> None:
    view = _request_view(samples.inquiry())
    _sign_as_they_do(view, key, _COVERED[:2])
    verified = verify_request(samples.parsed(_from_view(view, None)), key.verifying_key, now=int(time.time()))

    assert verified.nonce == samples.NONCE


@pytest.mark.parametrize("key", [samples.GATEWAY, samples.GATEWAY_P256], ids=lambda key: key.alg)
@pytest.mark.parametrize("unsigned", [samples.payment(), samples.inquiry()], ids=["post", "get"])
def test_their_verifier_accepts_our_receipts(key: SigningKey, unsigned: Request) -> None:
    request = _signed_now(unsigned, samples.MERCHANT_P256)
    response = samples.answer()
    response = response.with_headers(
        sign_receipt(samples.parsed(request), response, key, now=int(time.time()))
    )
    verifier = HTTPMessageVerifier(signature_algorithm=_THEIRS[key.alg], key_resolver=_OneKey(key))
    (result,) = verifier.verify(
        _response_view(response, request), expect_tag="countermark-receipt-v1", body=response.body
    )
    base = "\n".join(f"{name}: {value}" for name, value in result.covered_components.items())
    receipt = verify_receipt(request, response, {key.key_id: key.verifying_key}.get, now=int(time.time()))

    assert base.encode() == receipt.signature_base


@pytest.mark.parametrize("key", [samples.GATEWAY, samples.GATEWAY_P256], ids=lambda key: key.alg)
@pytest.mark.parametrize("unsigned", [samples.payment(), samples.inquiry()], ids=["post", "get"])
def test_we_accept_receipts_that_their_signer_made(key: SigningKey, unsigned: Request) -> None:
    request = _signed_now(unsigned, samples.MERCHANT_ED25519)
    response = samples.answer().with_headers((("Content-Digest", content_digest(samples.ANSWER)),))
    view = _response_view(response, request)
    HTTPMessageSigner(signature_algorithm=_THEIRS[key.alg], key_resolver=_OneKey(key)).sign(
        view,
        key_id=key.key_id,
        label="countermark",
        tag="countermark-receipt-v1",
        covered_component_ids=_receipt_covered(unsigned),
        use_existing_digest=True,
    )
    signed = Response(view.status_code, tuple(view.headers.items()), response.body)
    receipt = verify_receipt(request, signed, {key.key_id: key.verifying_key}.get, now=int(time.time()))

    assert receipt.status == 202
