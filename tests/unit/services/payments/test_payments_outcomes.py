from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.messages import AttemptAnswer
from services.node.errors import HopUnknown, HopUnsent
from services.payments.machine.events import Answered, Order
from services.payments.outcomes import Heard, classify, heard_as

ORDER = Order(
    attempt_id="att_eu_1_1", epoch=1, payment_id="pay_eu_1", account_id="acc", bank="bank-alpha",
    operation="collect", amount_minor=1999, currency="EUR", instrument="tok_visa_ok",
)  # fmt: skip
QUESTION = msgspec.structs.replace(ORDER, action="inquire", epoch=2)
TRUE = AttemptAnswer("att_eu_1_1", "confirmed", end_to_end_id="pay_eu_1", amount_minor=1999, currency="EUR")

_answers = st.builds(
    AttemptAnswer,
    attempt_id=st.sampled_from(["att_eu_1_1", "att_eu_2_1"]),
    outcome=st.sampled_from(["confirmed", "declined", "pending", "unsent", "unknown", "not_found"]),
    end_to_end_id=st.sampled_from([None, "pay_eu_1", "pay_eu_2"]),
    amount_minor=st.sampled_from([None, 1999, 1998]),
    currency=st.sampled_from([None, "EUR", "USD"]),
    bank_reference=st.sampled_from([None, "bk_1"]),
    decline_code=st.sampled_from([None, "do_not_honour"]),
)
_anything = st.one_of(_answers, st.just(HopUnsent("x")), st.just(HopUnknown("x")))


@given(answer=_answers)
def test_money_is_believed_to_have_moved_only_by_an_answer_about_this_very_request(
    answer: AttemptAnswer,
) -> None:
    about_this = ("att_eu_1_1", "pay_eu_1", 1999, "EUR") == (
        answer.attempt_id, answer.end_to_end_id, answer.amount_minor, answer.currency,
    )  # fmt: skip

    outcome = classify(ORDER, answer).answered

    assert (outcome.kind == "confirmed") == (about_this and answer.outcome == "confirmed")
    assert (outcome.kind == "declined") == (about_this and answer.outcome == "declined")


@given(answer=_anything)
def test_only_who_never_sent_says_unsent(answer: AttemptAnswer | HopUnsent | HopUnknown) -> None:
    said = isinstance(answer, HopUnsent) or (
        isinstance(answer, AttemptAnswer) and (answer.attempt_id, answer.outcome) == ("att_eu_1_1", "unsent")
    )

    assert said == (classify(ORDER, answer).answered.kind == "unsent")


@given(answer=_anything)
def test_a_question_and_a_request_are_read_alike_but_only_a_question_may_find_nothing(
    answer: AttemptAnswer | HopUnsent | HopUnknown,
) -> None:
    asked, sent = classify(QUESTION, answer), classify(ORDER, answer)

    assert ((True, 2), (False, 1)) == (
        (asked.answered.asked, asked.answered.epoch), (sent.answered.asked, sent.answered.epoch),
    )  # fmt: skip
    if asked.answered.kind == "not_found":
        assert ("unknown", True) == (sent.answered.kind, sent.alarm is not None)
    else:
        assert (asked.answered.kind, asked.alarm) == (sent.answered.kind, sent.alarm)


@pytest.mark.parametrize(
    ("change", "alarm"),
    [
        ({"attempt_id": "att_eu_2_1"}, "the answer is about another attempt"),
        ({"amount_minor": 2000}, "payment, amount or currency of the answer differ from the request"),
        ({"currency": "USD"}, "payment, amount or currency of the answer differ from the request"),
        ({"end_to_end_id": None}, "payment, amount or currency of the answer differ from the request"),
    ],
)
def test_an_answer_that_does_not_match_is_unknown_and_raises_an_alarm(
    change: dict[str, object], alarm: str
) -> None:
    outcome = classify(ORDER, msgspec.structs.replace(TRUE, **change))

    assert Heard(heard_as(ORDER, "unknown"), alarm) == outcome


def test_no_answer_is_unknown() -> None:
    assert Heard(heard_as(ORDER, "unknown")) == classify(ORDER, HopUnknown("timeout"))


def test_a_decline_without_a_code_still_has_one() -> None:
    declined = msgspec.structs.replace(TRUE, outcome="declined")

    assert Heard(heard_as(ORDER, "declined", decline_code="generic")) == classify(ORDER, declined)


def test_a_confirmation_carries_the_banks_reference_and_no_decline_code() -> None:
    strange = msgspec.structs.replace(TRUE, bank_reference="bk_1", decline_code="odd")

    assert Heard(
        Answered(
            payment_id="pay_eu_1", attempt_id="att_eu_1_1", epoch=1, kind="confirmed", bank_reference="bk_1"
        )
    ) == classify(ORDER, strange)


def test_an_alarm_of_the_banks_service_reaches_the_operator() -> None:
    odd = AttemptAnswer("att_eu_1_1", "unknown", alarm="the bank answered in another currency")

    assert Heard(heard_as(ORDER, "unknown"), "the bank answered in another currency") == classify(ORDER, odd)


@pytest.mark.parametrize(
    ("answer", "stopped_by"),
    [
        (HopUnsent("x"), "hop"),
        (AttemptAnswer("att_eu_1_1", "unsent", alarm="the rail has no such operation"), "connector"),
        (AttemptAnswer("att_eu_1_1", "unsent"), None),
        (HopUnknown("x"), None),
    ],
)
def test_what_our_own_side_stopped_is_told_from_a_bank_that_cannot_be_reached(
    answer: AttemptAnswer | HopUnsent | HopUnknown, stopped_by: str | None
) -> None:
    assert stopped_by == classify(ORDER, answer).answered.stopped_by
