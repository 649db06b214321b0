"""Attack 26: bodies that two JSON parsers read as two different payments, or as none."""

from __future__ import annotations

import json

import pytest

from gateway.api.parsing import PaymentOrder, parse_command, parse_json
from gateway.errors import MalformedJSON, ValidationFailed
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import post

_ORDER = b'{"kind":"collect","amount":1999,"currency":"EUR","instrument":"tok_visa_ok"}'
_MALFORMED = {
    "a member twice": _ORDER.replace(b'"amount":1999', b'"amount":1,"amount":1999'),
    "a member twice, once escaped": _ORDER.replace(b'"amount":1999', b'"amount":1,"\\u0061mount":1999'),
    "a member twice, below": b'{"public_key":{"kty":"EC","kty":"OKP"}}',
    "NaN": _ORDER.replace(b"1999", b"NaN"),
    "Infinity": _ORDER.replace(b"1999", b"-Infinity"),
    "beyond 2^53": _ORDER.replace(b"1999", b"9007199254740993"),
    "an endless number": _ORDER.replace(b"1999", b"1" * 5000),
    "a byte order mark": b"\xef\xbb\xbf" + _ORDER,
    "UTF-16": _ORDER.decode().encode("utf-16"),
    "UTF-16 without a mark": _ORDER.decode().encode("utf-16-le"),
    "UTF-32": _ORDER.decode().encode("utf-32"),
    "latin-1": _ORDER.replace(b"tok_visa_ok", b"tok_\xe9"),
    "half of a pair": _ORDER.replace(b"tok_visa_ok", b"\\ud800"),
    "half of a pair as a name": b'{"\\udc00":1}',
    "an overlong encoding": _ORDER.replace(b"tok_visa_ok", b"\xc0\xaf"),
    "a control character": _ORDER.replace(b"tok_visa_ok", b"tok\x01"),
    "something after it": _ORDER + b"{}",
    "a comment": b"/**/" + _ORDER,
    "a comma at the end": _ORDER[:-1] + b",}",
    "single quotes": _ORDER.replace(b'"', b"'"),
    "a plus sign": _ORDER.replace(b"1999", b"+1999"),
    "a leading zero": _ORDER.replace(b"1999", b"01999"),
    "hexadecimal": _ORDER.replace(b"1999", b"0x7cf"),
    "other digits": _ORDER.replace(b"1999", "١٩٩٩".encode()),
    "a form feed": b"\x0c" + _ORDER,
    "a space of no width": "\u200b".encode() + _ORDER,
    "too deep": b'{"a":' * 40 + b"1" + b"}" * 40,
    "far too deep": b"[" * 60_000,
}
_INVALID = {
    "a float": _ORDER.replace(b"1999", b"1999.0"),
    "an exponent": _ORDER.replace(b"1999", b"1e3"),
    "an exponent to infinity": _ORDER.replace(b"1999", b"1e400"),
    "minus zero": _ORDER.replace(b"1999", b"-0"),
    "a text": _ORDER.replace(b"1999", b'"1999"'),
    "a boolean": _ORDER.replace(b"1999", b"true"),
    "a list": b"[" + _ORDER + b"]",
    "another case": _ORDER.replace(b'"amount"', b'"Amount"'),
    "a member that pollutes prototypes": _ORDER[:-1] + b',"__proto__":{"amount":1}}',
}


@pytest.mark.parametrize("body", _MALFORMED.values(), ids=_MALFORMED.keys())
def test_a_body_with_two_readings_is_no_json_here(body: bytes) -> None:
    with pytest.raises(MalformedJSON) as refusal:
        parse_command(body, PaymentOrder)

    assert "malformed_json" == refusal.value.code


@pytest.mark.parametrize("body", _INVALID.values(), ids=_INVALID.keys())
def test_a_number_or_name_that_parsers_round_or_fold_is_no_payment(body: bytes) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        parse_command(body, PaymentOrder)

    assert "validation_failed" == refusal.value.code


def test_the_standard_parser_reads_some_of_these_so_the_refusal_is_ours() -> None:
    read = 0
    for body in _MALFORMED.values():
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            continue
        read += 1

    assert read >= 10


def test_an_ordinary_body_is_read() -> None:
    assert 1999 == parse_command(_ORDER, PaymentOrder).amount
    assert json.loads(_ORDER) == parse_json(_ORDER)


@pytest.mark.parametrize("name", ["a member twice, once escaped", "UTF-16", "half of a pair", "far too deep"])
async def test_a_body_with_two_readings_is_refused_with_a_receipt(
    stack: Gateway, another: Merchant, name: str
) -> None:
    request = stack.sign(post("/v1/payments", _MALFORMED[name]), another.key)

    await refuse(stack, request, 400, "malformed_json", rows=1, signed=True)


@pytest.mark.parametrize("name", ["an exponent to infinity", "a list", "another case"])
async def test_a_body_that_is_no_payment_is_refused_with_a_receipt(
    stack: Gateway, another: Merchant, name: str
) -> None:
    request = stack.sign(post("/v1/payments", _INVALID[name]), another.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)
