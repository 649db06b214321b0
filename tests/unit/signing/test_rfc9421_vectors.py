"""Every example of RFC 9421 that can be computed: the published base to the byte, the published signature."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from signing import KeyRefused, SignatureInvalid, SigningKey, VerifyingKey
from tests.vectors.rfc9421 import general_algorithms as algorithms
from tests.vectors.rfc9421.general_base import (
    GeneralRequest,
    GeneralResponse,
    Message,
    NoSuchBase,
    component_value,
    signature_base,
)

_DOCUMENT = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9421" / "vectors.json").read_bytes())
_VECTORS: list[dict[str, Any]] = _DOCUMENT["vectors"]
_HOLDING = [vector for vector in _VECTORS if vector["holds"]]
_OURS = {"ed25519", "ecdsa-p256-sha256"}
_DETERMINISTIC = {"ed25519", "hmac-sha256", "rsa-v1_5-sha256"}


def _named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def _key(vector: dict[str, Any], part: str) -> bytes:
    entry = _DOCUMENT["keys"][vector["key"]]
    if "secret_base64_TEST_ONLY" in entry:
        return base64.b64decode(entry["secret_base64_TEST_ONLY"])
    return ("\n".join(entry[part]) + "\n").encode()


def _message(vector: dict[str, Any]) -> Message:
    asked = vector["request"]
    request = GeneralRequest(
        asked["method"], asked["target_uri"], tuple((name, value) for name, value in asked["headers"])
    )
    if "response" not in vector:
        return request
    answered = vector["response"]
    return GeneralResponse(
        answered["status"], request, tuple((name, value) for name, value in answered["headers"])
    )


def _published_base(vector: dict[str, Any]) -> bytes:
    return "\n".join(vector["signature_base"]).encode("ascii")


def _signature(vector: dict[str, Any]) -> bytes:
    return base64.b64decode(vector["signature"], validate=True)


def test_the_set_is_whole() -> None:
    sections = {vector["section"] for vector in _VECTORS}
    in_appendix = {f"B.2.{number}" for number in range(1, 7)} | {"B.3", "B.4"}

    assert in_appendix | {"2.4", "3.2", "4.3"} == sections
    assert (20, 17) == (len(_VECTORS), len(_HOLDING))


@pytest.mark.parametrize("vector", _HOLDING, ids=_named)
def test_the_published_base_is_built_from_the_message_to_the_byte(vector: dict[str, Any]) -> None:
    built = signature_base(_message(vector), vector["signature_input"])

    assert _published_base(vector) == built


@pytest.mark.parametrize("vector", _HOLDING, ids=_named)
def test_the_published_signature_verifies(vector: dict[str, Any]) -> None:
    base = signature_base(_message(vector), vector["signature_input"])
    algorithms.verify(vector["algorithm"], _key(vector, "public_pem"), _signature(vector), base)

    with pytest.raises(InvalidSignature):
        algorithms.verify(vector["algorithm"], _key(vector, "public_pem"), _signature(vector), base + b" ")


@pytest.mark.parametrize("vector", [v for v in _VECTORS if not v["holds"]], ids=_named)
def test_a_message_that_was_changed_gives_another_base_and_does_not_verify(vector: dict[str, Any]) -> None:
    base = signature_base(_message(vector), vector["signature_input"])

    assert _published_base(vector) != base
    with pytest.raises(InvalidSignature):
        algorithms.verify(vector["algorithm"], _key(vector, "public_pem"), _signature(vector), base)


@pytest.mark.parametrize("vector", [v for v in _VECTORS if v["algorithm"] in _OURS], ids=_named)
def test_our_own_keys_judge_the_published_signatures_alike(vector: dict[str, Any]) -> None:
    key = VerifyingKey.from_spki_pem(_key(vector, "public_pem"))
    base = signature_base(_message(vector), vector["signature_input"])

    assert vector["algorithm"] == key.alg
    key.verify(_signature(vector), _published_base(vector))
    if not vector["holds"]:
        with pytest.raises(SignatureInvalid):
            key.verify(_signature(vector), base)


@pytest.mark.parametrize("vector", _HOLDING, ids=_named)
def test_the_published_private_key_signs_the_base(vector: dict[str, Any]) -> None:
    base = _published_base(vector)
    signature = algorithms.sign(vector["algorithm"], _key(vector, "private_pem_TEST_ONLY"), base)
    algorithms.verify(vector["algorithm"], _key(vector, "public_pem"), signature, base)

    if vector["algorithm"] in _DETERMINISTIC:
        assert _signature(vector) == signature


def test_our_own_signer_makes_the_published_ed25519_signatures() -> None:
    chosen = [vector for vector in _HOLDING if vector["algorithm"] == "ed25519"]
    for vector in chosen:
        key = SigningKey.from_pem(_key(vector, "private_pem_TEST_ONLY"))

        assert _signature(vector) == key.sign(_published_base(vector))
    assert 5 == len(chosen)


@pytest.mark.parametrize("name", ["test-key-rsa", "test-key-rsa-pss"])
def test_the_rsa_keys_of_the_rfc_are_none_of_ours(name: str) -> None:
    with pytest.raises(KeyRefused):
        VerifyingKey.from_spki_pem(_key({"key": name}, "public_pem"))
    with pytest.raises(KeyRefused):
        SigningKey.from_pem(_key({"key": name}, "private_pem_TEST_ONLY"))


def test_the_digest_that_drafts_show_in_b24_is_not_the_one_of_its_body() -> None:
    signed, shown = (v["response"] for v in _VECTORS if v["section"] == "B.2.4")
    digest = base64.b64encode(hashlib.sha512(signed["body"].encode()).digest()).decode()

    assert ["Content-Digest", f"sha-512=:{digest}:"] in signed["headers"]
    assert ["Content-Digest", f"sha-512=:{digest}:"] not in shown["headers"]


_LONG = "this%20is%20a%20big%0Amultiline%20value"
_QUERY = (
    f"https://www.example.com/parameters?var={_LONG}&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something"
)
_REQUEST = GeneralRequest(
    "POST",
    "https://www.example.com/path?param=value&foo=bar&baz=batman&qux=",
    (
        ("Host", "www.example.com:443"),
        ("X-OWS-Header", "  Leading and trailing whitespace.   "),
        ("X-Obs-Fold-Header", "Obsolete\r\n    line folding."),
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "   must-revalidate"),
        ("Example-Dict", " a=1, b=2;x=1;y=2,   c=(a   b    c), d"),
        ("Example-Header", "value, with, lots"),
        ("Example-Header", "of, commas"),
        ("X-Empty-Header", ""),
    ),
)


@pytest.mark.parametrize(
    ("section", "name", "parameters", "expected"),
    [
        ("2.1", "x-ows-header", {}, "Leading and trailing whitespace."),
        ("2.1", "x-obs-fold-header", {}, "Obsolete line folding."),
        ("2.1", "cache-control", {}, "max-age=60, must-revalidate"),
        ("2.1", "x-empty-header", {}, ""),
        ("2.1", "example-header", {}, "value, with, lots, of, commas"),
        ("2.1.1", "example-dict", {"sf": True}, "a=1, b=2;x=1;y=2, c=(a b c), d"),
        ("2.1.2", "example-dict", {"key": "a"}, "1"),
        ("2.1.2", "example-dict", {"key": "d"}, "?1"),
        ("2.1.2", "example-dict", {"key": "b"}, "2;x=1;y=2"),
        ("2.1.2", "example-dict", {"key": "c"}, "(a b c)"),
        ("2.1.3", "example-header", {"bs": True}, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"),
        ("2.2.1", "@method", {}, "POST"),
        ("2.2.3", "@authority", {}, "www.example.com"),
        ("2.2.4", "@scheme", {}, "https"),
        ("2.2.5", "@request-target", {}, "/path?param=value&foo=bar&baz=batman&qux="),
        ("2.2.6", "@path", {}, "/path"),
        ("2.2.7", "@query", {}, "?param=value&foo=bar&baz=batman&qux="),
        ("2.2.8", "@query-param", {"name": "baz"}, "batman"),
        ("2.2.8", "@query-param", {"name": "qux"}, ""),
        ("2.2.8", "@query-param", {"name": "param"}, "value"),
    ],
)
def test_a_component_has_the_value_that_the_rfc_shows(
    section: str, name: str, parameters: dict[str, Any], expected: str
) -> None:
    assert expected == component_value(_REQUEST, name, parameters), section


@pytest.mark.parametrize(
    ("name", "expected"),
    [("var", _LONG), ("bar", "with%20plus%20whitespace"), ("fa%C3%A7ade%22%3A%20", "something")],
)
def test_a_query_parameter_is_encoded_again_as_the_rfc_shows(name: str, expected: str) -> None:
    request = GeneralRequest("GET", _QUERY)

    assert expected == component_value(request, "@query-param", {"name": name})


@pytest.mark.parametrize(
    "inner",
    [
        '("@method" "@method")',
        '("@status")',
        '("@method";req)',
        '("absent")',
        '("@unknown")',
        '("example-dict";key="z")',
        '("example-header";bs;sf)',
        '("@query-param";name="absent")',
        '("@method";unknown)',
        "(",
        '"@method"',
    ],
)
def test_a_base_that_the_rfc_forbids_is_not_built(inner: str) -> None:
    with pytest.raises(NoSuchBase):
        signature_base(_REQUEST, inner)
