"""The committed vectors: judged as they say, and made by their generator as they stand."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from signing import (
    Request,
    RequestRefused,
    Response,
    VerifyingKey,
    parse_request,
    verify_receipt,
    verify_request,
    verify_webhook,
    webhook_key_from_text,
)

_FOLDER = Path(__file__).parents[2] / "vectors" / "signing"
_VECTORS = json.loads((_FOLDER / "vectors.json").read_bytes())
_ORIGINS = frozenset({_VECTORS["origin"]})


def _body(message: dict[str, Any]) -> bytes | None:
    encoded = message["body_base64"]
    return None if encoded is None else base64.b64decode(encoded)


def _headers(message: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in message["headers"])


def _request(message: dict[str, Any]) -> Request:
    return Request(message["method"], message["target_uri"], _headers(message), _body(message))


def _key(vector: dict[str, Any]) -> VerifyingKey:
    entry = _VECTORS["keys"][vector["key"]]
    key = VerifyingKey.from_jwk(entry["public_jwk"])

    assert entry["key_id"] == key.key_id
    return key


@pytest.mark.parametrize("vector", _VECTORS["requests"], ids=lambda vector: vector["name"])
def test_a_request_vector_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    request, expected = _request(vector["request"]), vector["expect"]
    if "refused" in expected:
        with pytest.raises(RequestRefused) as refusal:
            verify_request(parse_request(request, origins=_ORIGINS), _key(vector), now=vector["now"])

        assert expected["refused"] == refusal.value.code
    else:
        verified = verify_request(parse_request(request, origins=_ORIGINS), _key(vector), now=vector["now"])

        assert expected["signature_base"] == verified.signature_base.decode()


@pytest.mark.parametrize("vector", _VECTORS["receipts"], ids=lambda vector: vector["name"])
def test_a_receipt_vector_verifies(vector: dict[str, Any]) -> None:
    message = vector["response"]
    response = Response(message["status"], _headers(message), _body(message) or b"")
    key = _key(vector)
    receipt = verify_receipt(_request(vector["request"]), response, {key.key_id: key}.get, now=vector["now"])

    assert vector["expect"]["signature_base"] == receipt.signature_base.decode()


@pytest.mark.parametrize("vector", _VECTORS["webhooks"], ids=lambda vector: vector["name"])
def test_a_webhook_vector_verifies(vector: dict[str, Any]) -> None:
    keys = [webhook_key_from_text(vector["public_key"])]
    webhook = verify_webhook(_headers(vector), _body(vector) or b"", keys, now=vector["now"])

    assert webhook.message_id == "evt_01"


def test_the_generator_makes_the_committed_file() -> None:
    code = "import make_vectors, sys; sys.stdout.write(make_vectors.document())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_FOLDER, capture_output=True, text=True, check=True
    )

    assert (_FOLDER / "vectors.json").read_text() == done.stdout
