from __future__ import annotations

import json

import pytest

from signing.calls import Call
from signing.client import random_text
from signing.errors import IdempotencyKeyInvalid, UnsignableRequest
from signing.instruments import Instruments

TOKEN = "tok_eu_0000000000000000000000000z"
PAN = "4242424242424242"


def instruments() -> Instruments[Call]:
    return Instruments(lambda call: call, random_text)


def body(call: Call) -> dict[str, object]:
    value: dict[str, object] = json.loads(call.body or b"")
    return value


def test_a_card_and_an_account_are_sent_with_a_blind_of_their_own() -> None:
    card = instruments().create_card(PAN, expiry_month=12, expiry_year=2030)
    other = instruments().create_card(PAN, expiry_month=12, expiry_year=2030)
    account = instruments().create_iban("DE89370400440532013000")

    assert ("POST", "/v1/instruments") == (card.method, card.path)
    assert {"number": PAN, "expiry_month": 12, "expiry_year": 2030} == body(card)["card"]
    assert ["card", "blind"] == list(body(card))
    assert ["iban", "blind"] == list(body(account))
    assert 3 == len({str(body(call)["blind"]) for call in (card, other, account)})
    assert 32 == len(str(body(card)["blind"]))
    assert card.idempotency_key != other.idempotency_key


def test_a_repeat_after_a_crash_is_the_same_body() -> None:
    calls = [
        instruments().create_card(
            PAN, expiry_month=1, expiry_year=2030, blind="b" * 22, idempotency_key="k" * 16
        )
        for _ in range(2)
    ]

    assert calls[0] == calls[1]


def test_nothing_of_a_number_is_in_what_a_call_prints() -> None:
    call = instruments().create_card(PAN, expiry_month=12, expiry_year=2030)

    assert PAN not in repr(call)


def test_an_instrument_is_read_and_shredded_by_its_token() -> None:
    read, shred = instruments().read(TOKEN), instruments().shred(TOKEN, idempotency_key="k" * 16)

    assert ("GET", f"/v1/instruments/{TOKEN}", None) == (read.method, read.path, read.body)
    assert ("DELETE", f"/v1/instruments/{TOKEN}", b"{}") == (shred.method, shred.path, shred.body)
    assert "k" * 16 == shred.idempotency_key


def test_what_cannot_be_an_id_or_a_key_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnsignableRequest):
        instruments().shred("../payments")
    with pytest.raises(IdempotencyKeyInvalid):
        instruments().shred(TOKEN, idempotency_key="short")
