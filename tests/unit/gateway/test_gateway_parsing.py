from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.parsing import (
    AMOUNT_MINOR_MAX,
    DEPTH_MAX,
    FRACTION,
    INTEGER_MAX,
    KeyOrder,
    PaymentOrder,
    parse_command,
    parse_json,
)
from gateway.errors import MalformedJSON, ValidationFailed

ORDER: dict[str, Any] = {"kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok"}

INTEGERS = st.integers(min_value=-INTEGER_MAX, max_value=INTEGER_MAX)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, children), default=0)
    return 0


@given(VALUES.filter(lambda value: depth(value) <= DEPTH_MAX), st.booleans())
def test_what_the_standard_parser_reads_in_one_way_is_read_the_same(value: Any, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode()

    assert json.loads(body) == parse_json(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_like_the_standard_parser_does_or_refused(body: bytes) -> None:
    try:
        value = parse_json(body)
    except MalformedJSON:
        return

    assert json.loads(body.decode("utf-8"), parse_float=lambda _: FRACTION) == value


@given(st.text(alphabet='{}[]",:0123456789.eE-+ntrufalsNI\\ud8', max_size=60))
def test_texts_that_look_like_json_are_read_like_the_standard_parser_does_or_refused(text: str) -> None:
    try:
        value = parse_json(text.encode())
    except MalformedJSON:
        return

    assert json.loads(text, parse_float=lambda _: FRACTION) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'["\\ud800"]',
        b'{"\\udfff":1}',
        str(INTEGER_MAX + 1).encode(),
        str(-INTEGER_MAX - 1).encode(),
        b"9" * 5000,
        b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
        b"[" * 100_000,
        b"{} {}",
        b"'a'",
        b'{"a":1,}',
    ],
)
def test_what_parsers_disagree_about_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedJSON):
        parse_json(body)


def test_the_deepest_admitted_nesting_is_read() -> None:
    value = parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)

    assert depth(value) == DEPTH_MAX


def test_a_payment_order_is_read_with_and_without_its_reference() -> None:
    plain = parse_command(msgspec.json.encode(ORDER), PaymentOrder)
    named = parse_command(msgspec.json.encode(ORDER | {"merchant_reference": "a b"}), PaymentOrder)

    assert (None, "a b") == (plain.merchant_reference, named.merchant_reference)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"amount": 0}, "/amount"),
        ({"amount": -1}, "/amount"),
        ({"amount": "1999"}, "/amount"),
        ({"amount": True}, "/amount"),
        ({"amount": None}, "/amount"),
        ({"amount": 19.99}, "/amount"),
        ({"amount": 1999.0}, "/amount"),
        ({"amount": 1e3}, "/amount"),
        ({"currency": 1.5}, "/currency"),
        ({"merchant_reference": 0.5}, "/merchant_reference"),
        ({"kind": "refund"}, "/kind"),
        ({"currency": "eur"}, "/currency"),
        ({"currency": "EUR\n"}, "/currency"),
        ({"currency": "EURO"}, "/currency"),
        ({"instrument": "4111111111111111"}, "/instrument"),
        ({"instrument": "tok_"}, "/instrument"),
        ({"instrument": "tok_" + "a" * 65}, "/instrument"),
        ({"merchant_reference": ""}, "/merchant_reference"),
        ({"merchant_reference": "a" * 65}, "/merchant_reference"),
        ({"merchant_reference": " a"}, "/merchant_reference"),
        ({"merchant_reference": "a\x00"}, "/merchant_reference"),
        ({"merchant_reference": "é"}, "/merchant_reference"),
        ({"surprise": 1}, ""),
    ],
)
def test_a_field_out_of_its_form_is_named_by_its_pointer(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_command(msgspec.json.encode(ORDER | change), PaymentOrder)

    assert [pointer] == [fault.pointer for fault in refused.value.faults]


def test_the_largest_amount_is_the_one_that_the_record_takes() -> None:
    schema = (
        Path(__file__).parents[3] / "services/payments/schema/0001_accounts_and_payments.sql"
    ).read_text()
    bounds = re.findall(r"amount_minor between 1 and (\d+)", schema)

    assert [str(AMOUNT_MINOR_MAX)] == bounds
    largest = parse_command(msgspec.json.encode(ORDER | {"amount": AMOUNT_MINOR_MAX}), PaymentOrder)
    assert AMOUNT_MINOR_MAX == largest.amount
    with pytest.raises(ValidationFailed):
        parse_command(msgspec.json.encode(ORDER | {"amount": AMOUNT_MINOR_MAX + 1}), PaymentOrder)


@pytest.mark.parametrize("missing", sorted(ORDER))
def test_a_missing_field_is_refused(missing: str) -> None:
    rest = {name: value for name, value in ORDER.items() if name != missing}

    with pytest.raises(ValidationFailed):
        parse_command(msgspec.json.encode(rest), PaymentOrder)


@given(VALUES, st.text(max_size=20))
def test_a_refusal_never_repeats_what_was_sent(value: Any, name: str) -> None:
    secret = "tok_secret_5f0e"
    body = json.dumps({**ORDER, "instrument": [secret], name + secret: value}).encode()

    with pytest.raises((ValidationFailed, MalformedJSON)) as refused:
        parse_command(body, PaymentOrder)

    said = [str(refused.value)]
    if isinstance(refused.value, ValidationFailed):
        said += [f"{fault.pointer} {fault.detail}" for fault in refused.value.faults]
    assert secret not in " ".join(said)


@given(VALUES)
def test_any_json_is_a_key_order_or_refused(value: Any) -> None:
    try:
        order = parse_command(json.dumps(value).encode(), KeyOrder)
    except (ValidationFailed, MalformedJSON):
        return

    assert isinstance(order.public_key, dict)
