from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.payments.machine.model import LATE_EXCESS, LATE_SUCCESS
from services.payments.machine.settlement import AGREED, Booked, FileLine, judge

PAYMENT = "pay_eu_" + "0" * 26
ATTEMPT = "att_eu_" + "0" * 26 + "_1"
LINE = FileLine(
    bank="bank-alpha", line=7, attempt_id=ATTEMPT, end_to_end_id=PAYMENT, movement="collect",
    amount_minor=500, fee_minor=11, currency="EUR", bank_reference="REF-1", value_date="2026-11-26",
)  # fmt: skip
BOOKED = Booked(
    attempt_id=ATTEMPT, payment_id=PAYMENT, bank="bank-alpha", operation="collect", state="confirmed",
    decline_code=None, amount_minor=500, currency="EUR",
)  # fmt: skip


def test_a_line_that_says_what_is_booked_agrees() -> None:
    assert AGREED == judge(LINE, BOOKED)


@pytest.mark.parametrize(
    ("line", "booked", "kind"),
    [
        ({}, None, "unknown_attempt"),
        ({"bank": "bank-bravo"}, {}, "unknown_attempt"),
        ({"end_to_end_id": "pay_eu_" + "1" * 26}, {}, "unknown_attempt"),
        ({"amount_minor": 501}, {}, "different"),
        ({"currency": "USD"}, {}, "different"),
        ({"movement": "payout"}, {}, "different"),
        ({}, {"lines_before": 1}, "twice"),
        ({}, {"state": "declined", "decline_code": "do_not_honor"}, "late"),
        ({}, {"state": "not_processed"}, "late"),
        ({}, {"state": "unknown"}, "open"),
        ({}, {"state": "sending"}, "open"),
        ({"movement": "returned"}, {}, "untold"),
        ({"movement": "chargeback"}, {"taken_back_minor": 499}, "untold"),
        ({"movement": "chargeback"}, {"taken_back_minor": 500, "taken_before_minor": 1}, "untold"),
        ({"movement": "returned"}, {"operation": "payout"}, "different"),
        ({"movement": "bounced"}, {"operation": "refund"}, "open"),
    ],
)
def test_what_does_not_agree_is_a_break(
    line: dict[str, Any], booked: dict[str, Any] | None, kind: str
) -> None:
    row = None if booked is None else replace(BOOKED, **booked)

    assert kind == judge(replace(LINE, **line), row).kind


@pytest.mark.parametrize(
    ("line", "booked"),
    [
        ({}, {"state": "declined", "decline_code": LATE_SUCCESS}),
        ({"movement": "refund"}, {"operation": "refund", "state": "declined", "decline_code": LATE_EXCESS}),
        ({"movement": "returned"}, {"taken_back_minor": 500}),
        ({"movement": "chargeback"}, {"taken_back_minor": 800, "taken_before_minor": 300}),
        ({"movement": "bounced"}, {"operation": "refund", "state": "reversed"}),
        ({"movement": "refund"}, {"operation": "refund", "state": "reversed"}),
    ],
)
def test_what_was_told_before_agrees(line: dict[str, Any], booked: dict[str, Any]) -> None:
    assert AGREED == judge(replace(LINE, **line), replace(BOOKED, **booked))


def test_a_bank_that_did_it_after_all_tells_the_payment() -> None:
    told = judge(LINE, replace(BOOKED, state="declined")).tell

    assert told is not None
    assert ("confirmed", ATTEMPT, PAYMENT, 500, "EUR", "settlement:7") == (
        told.what, told.attempt_id, told.payment_id, told.amount_minor, told.currency, told.bank_event_id,
    )  # fmt: skip


@given(
    movement=st.sampled_from(["collect", "capture", "payout", "refund", "bounced", "returned", "chargeback"]),
    operation=st.sampled_from(["collect", "authorise", "capture", "void", "payout", "refund"]),
    state=st.sampled_from(
        ["intent", "sending", "unknown", "confirmed", "declined", "not_processed", "reversed"]
    ),
    amount=st.sampled_from([500, 499]),
    before=st.integers(0, 2),
)
def test_no_payment_is_told_of_an_amount_that_is_not_its_own(
    movement: Any, operation: Any, state: Any, amount: int, before: int
) -> None:
    line = replace(LINE, movement=movement, amount_minor=amount)
    judgement = judge(line, replace(BOOKED, operation=operation, state=state, lines_before=before))

    if judgement.tell is not None:
        assert (500, 0) == (amount, before)
        assert movement == ("bounced" if judgement.tell.what == "bounced" else operation)
    assert len(judgement.expected) <= 200
    assert len(judgement.found) <= 200
