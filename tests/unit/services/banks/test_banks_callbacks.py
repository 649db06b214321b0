from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.callback_messages import Callback, What
from services.banks.callbacks import hear
from services.payments.machine.events import BankTold, Mail

GOOD: dict[str, Any] = {
    "event_id": "ev_1",
    "what": "confirmed",
    "attempt_id": "att_eu_1_1",
    "end_to_end_id": "pay_eu_1",
    "amount_minor": 1999,
    "currency": "EUR",
    "at": "2026-11-26T00:00:00Z",
}
_name = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
_maybe_code = st.none() | st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True)


@given(
    what=st.sampled_from(get_args(What)),
    attempt_id=_name, end_to_end_id=_name, amount=st.integers(1, 999_999_999_999), decline_code=_maybe_code,
)  # fmt: skip
def test_what_is_heard_is_what_payments_reads(
    what: Any, attempt_id: str, end_to_end_id: str, amount: int, decline_code: str | None
) -> None:
    said = Callback(
        event_id="ev_1", what=what, attempt_id=attempt_id, end_to_end_id=end_to_end_id, amount_minor=amount,
        currency="EUR", decline_code=decline_code, at="2026-11-26T00:00:00Z",
    )  # fmt: skip

    heard = hear("bank-alpha", msgspec.json.encode(said))

    assert heard.mail is not None
    expected = BankTold(
        payment_id=end_to_end_id, bank="bank-alpha", what=what, bank_event_id="ev_1", attempt_id=attempt_id,
        amount_minor=amount, currency="EUR", decline_code=decline_code,
    )  # fmt: skip
    assert expected == msgspec.json.decode(heard.mail, type=Mail)
    assert "ev_1" == heard.event_id


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_callback_lacks_nothing(field: str) -> None:
    body = msgspec.json.encode({k: v for k, v in GOOD.items() if k != field})

    assert None is hear("bank-alpha", body).mail


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"what": "authorised"},
        {"bank": "bank-bravo"},
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"amount_minor": 19.99},
        {"amount_minor": "1999"},
        {"amount_minor": True},
        {"amount_minor": 10**12},
        {"currency": "eur"},
        {"event_id": ""},
        {"event_id": "a#b"},
        {"event_id": "e" * 161},
        {"attempt_id": "att 1"},
        {"end_to_end_id": "pay\n"},
        {"bank_reference": "ünlesbar"},
        {"dispute_reference": " "},
        {"decline_code": "Do Not Honour"},
        {"at": "yesterday"},
    ],
)
def test_a_callback_of_another_form_is_unreadable(change: dict[str, object]) -> None:
    assert None is hear("bank-alpha", msgspec.json.encode(GOOD | change)).mail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b'{"\xff":1}',
        b'{"surprise":' + b"[" * 8000,
        b"[" * 8000,
        b"null",
        b'{"event_id":"\\ud800"}',
    ],
)
def test_bytes_that_are_no_callback_are_heard_all_the_same(body: bytes) -> None:
    assert None is hear("bank-alpha", body).mail


@given(st.binary(max_size=200))
def test_any_bytes_can_be_heard_and_have_a_name_that_follows_from_them(body: bytes) -> None:
    heard = hear("bank-alpha", body)

    assert (heard, body) == (hear("bank-alpha", body), heard.body)
    assert heard.mail is None
    assert heard.event_id.startswith("sha256:")
