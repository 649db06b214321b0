"""The hop's contract: the engine's words are understood, and nothing else is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fraud.inputs import canonical, parse_inputs
from services.fraud.messages import ITEMS_MAX, MESSAGE_BYTES_MAX, Screening, Screenings, Verdict, Verdicts
from services.fraud.rules import RULES_MAX
from services.node.hop_client import ANSWER_BYTES_MAX
from services.payments.machine.events import Asking, Screened
from tests.unit.services.fraud.rule_samples import NOON, facts, inputs, item_of

LONGEST = "x" * 128


def test_what_the_engine_asks_is_what_is_understood() -> None:
    asking = Asking(
        payment_id="pay_eu_1", account_id="acc_eu_1", merchant_id="mer_one", kind="collect", amount_minor=100,
        currency="EUR", instrument="tok_visa_ok", accepted_at=NOON,
    )  # fmt: skip

    assert item_of() == msgspec.json.decode(msgspec.json.encode(asking), type=Screening)


def test_a_verdict_has_what_the_engine_keeps() -> None:
    kept = set(Screened.__struct_fields__) - {"mail_id"}

    assert kept == set(Verdict.__struct_fields__)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": 10**12},
        {"amount_minor": 1.0},
        {"amount_minor": True},
        {"currency": "eur"},
        {"currency": "EUR\n"},
        {"kind": "refund"},
        {"instrument": "tok/../x"},
        {"payment_id": ""},
        {"merchant_id": LONGEST + "x"},
        {"accepted_at": "2026-11-25T12:00:00"},
        {"accepted_at": 1},
        {"more": 1},
    ],
)
def test_a_question_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    body = msgspec.json.encode({"items": [msgspec.to_builtins(item_of()) | changes]})

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Screenings, strict=True)


def test_a_question_about_too_many_or_none_is_refused() -> None:
    for count in (0, ITEMS_MAX + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(Screenings([item_of()] * count)), type=Screenings)


def test_the_largest_question_and_answer_fit() -> None:
    item = item_of(LONGEST, account_id=LONGEST, merchant_id=LONGEST, instrument=LONGEST)
    verdict = Verdict(
        payment_id=LONGEST,
        verdict="review",
        rule_pack=f"{'n' * 40}@{2**31 - 1}:{'0' * 64}",
        inputs_digest="0" * 64,
        reasons=("cannot-evaluate:" + "r" * 40,) * RULES_MAX,
    )

    assert MESSAGE_BYTES_MAX > len(msgspec.json.encode(Screenings([item] * ITEMS_MAX)))
    assert ANSWER_BYTES_MAX > len(msgspec.json.encode(Verdicts([verdict] * ITEMS_MAX)))


def test_the_kept_inputs_have_one_spelling_and_no_token() -> None:
    document = canonical(inputs({"b/any/count/60": 1, "a/any/count/60": 2}))

    assert document == canonical(inputs({"a/any/count/60": 2, "b/any/count/60": 1}))
    assert b'"velocity":{"a/any/count/60":2,"b/any/count/60":1}}' in document
    assert b"tok_" not in document
    assert facts() == parse_inputs(document).facts


@given(body=st.binary(max_size=200))
def test_hostile_bytes_are_no_question(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        msgspec.json.decode(body, type=Screenings, strict=True)
