"""The npm package http-message-signatures and this one accept each other: committed vectors, and live."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from signing import (
    Request,
    Response,
    SigningKey,
    VerifyingKey,
    parse_request,
    sign_receipt,
    sign_request,
    verify_receipt,
    verify_request,
)
from signing.digest import content_digest
from tests.unit.signing import signing_samples as samples

_ROOT = Path(__file__).parents[2] / "vectors"
_FOLDER = _ROOT / "npm"
_VECTORS = json.loads((_FOLDER / "vectors.json").read_bytes())["vectors"]
_OURS = json.loads((_ROOT / "signing" / "vectors.json").read_bytes())
_NODE_S_MAX = 30  # starting Node takes 0.1 s; a busy machine may take its time
_PACKAGE = _FOLDER / "node_modules" / "http-message-signatures"
live = pytest.mark.skipif(
    shutil.which("node") is None or not _PACKAGE.is_dir(),
    reason="needs Node and `npm install --prefix tests/vectors/npm --no-package-lock`",
)


def _request(message: dict[str, Any]) -> Request:
    encoded = message["body_base64"]
    body = None if encoded is None else base64.b64decode(encoded)
    headers = tuple((name, value) for name, value in message["headers"])
    return Request(message["method"], message["target_uri"], headers, body)


def _response(message: dict[str, Any]) -> Response:
    headers = tuple((name, value) for name, value in message["headers"])
    return Response(message["status"], headers, base64.b64decode(message["body_base64"]))


def _key(name: str) -> VerifyingKey:
    return VerifyingKey.from_jwk(_OURS["keys"][name]["public_jwk"])


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["name"])
def test_we_accept_requests_that_the_npm_package_signed(vector: dict[str, Any]) -> None:
    signed = parse_request(_request(vector["request"]), origins=frozenset({_OURS["origin"]}))
    verified = verify_request(signed, _key(vector["merchant_key"]), now=vector["now"])

    assert vector["now"] - 2 == verified.created


@pytest.mark.parametrize("vector", _VECTORS, ids=lambda vector: vector["name"])
def test_we_accept_receipts_that_the_npm_package_signed(vector: dict[str, Any]) -> None:
    key = _key(vector["gateway_key"])
    receipt = verify_receipt(
        _request(vector["request"]), _response(vector["response"]), {key.key_id: key}.get, now=vector["now"]
    )

    assert vector["response"]["status"] == receipt.status


def test_the_committed_vectors_are_of_both_algorithms_and_both_kinds() -> None:
    names = {vector["name"] for vector in _VECTORS}

    assert {"post-ed25519", "get-ed25519", "post-p256", "get-p256"} == names


def test_the_version_is_exact_and_no_lock_file_is_committed() -> None:
    package = json.loads((_FOLDER / "package.json").read_bytes())

    assert {"http-message-signatures": "1.0.6"} == package["dependencies"]
    assert "package-lock.json" in (_FOLDER / ".gitignore").read_text().split("\n")


def _ask(task: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", str(_FOLDER / "peer.mjs")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=_NODE_S_MAX,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["result"]


def _shown(message: Request | Response) -> dict[str, Any]:
    headers = [list(field) for field in message.headers]
    if isinstance(message, Response):
        return {"status": message.status, "headers": headers}
    return {"method": message.method, "target_uri": message.target_uri, "headers": headers}


def _private(key: SigningKey) -> dict[str, Any]:
    jwk = {
        name: value for name, value in key.verifying_key.to_jwk().items() if name in {"kty", "crv", "x", "y"}
    }
    number: Any = key._private
    raw = (
        number.private_bytes_raw()
        if key.alg == "ed25519"
        else number.private_numbers().private_value.to_bytes(32, "big")
    )
    d = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"alg": key.alg, "key_id": key.key_id, "private_jwk": {**jwk, "d": d}}


def _public(key: SigningKey) -> dict[str, Any]:
    return {"alg": key.alg, "key_id": key.key_id, "public_jwk": key.verifying_key.to_jwk()}


_KEYS = pytest.mark.parametrize("key", samples.MERCHANT_KEYS, ids=lambda key: key.alg)
_KINDS = pytest.mark.parametrize("unsigned", [samples.payment(), samples.inquiry()], ids=["post", "get"])


@live
@_KEYS
@_KINDS
def test_the_npm_package_accepts_our_requests_and_not_a_changed_one(
    key: SigningKey, unsigned: Request
) -> None:
    request = unsigned.with_headers(sign_request(unsigned, key, now=int(time.time()), nonce=samples.NONCE))
    moved = Request(request.method, request.target_uri + "x", request.headers, request.body)

    assert _ask({"do": "verify", "request": _shown(request), "key": _public(key)}) is True
    assert _ask({"do": "verify", "request": _shown(moved), "key": _public(key)}) is False


@live
@_KEYS
@_KINDS
def test_we_accept_requests_that_the_npm_package_signs_now(key: SigningKey, unsigned: Request) -> None:
    now = int(time.time())
    if unsigned.body is not None:
        unsigned = unsigned.with_headers((("Content-Digest", content_digest(unsigned.body)),))
    fields = _ask(
        {
            "do": "sign_request",
            "request": _shown(unsigned),
            "key": _private(key),
            "created": now,
            "expires": now + 60,
            "nonce": samples.NONCE,
        }
    )
    request = unsigned.with_headers(tuple((name, value) for name, value in fields))
    verified = verify_request(samples.parsed(request), key.verifying_key, now=now)

    assert (now, now + 60) == (verified.created, verified.expires)


@live
@_KEYS
@_KINDS
def test_the_npm_package_accepts_our_receipts_and_not_a_changed_one(
    key: SigningKey, unsigned: Request
) -> None:
    request = samples.signed(unsigned)
    response = samples.answer()
    answered = response.with_headers(
        sign_receipt(samples.parsed(request), response, key, now=int(time.time()))
    )
    changed = Response(500, answered.headers, answered.body)
    task = {"do": "verify", "request": _shown(request), "key": _public(key)}

    assert _ask({**task, "response": _shown(answered)}) is True
    assert _ask({**task, "response": _shown(changed)}) is False
