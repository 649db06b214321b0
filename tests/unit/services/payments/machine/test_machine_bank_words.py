from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.events import RefundAsked
from services.payments.machine.model import headroom_minor
from tests.unit.services.payments.machine.tiny_record import ACCOUNT, TinyRecord


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def _tell(record: TinyRecord, what: str, payment_id: str | None = None, **changed: Any) -> str:
    """A word of the bank about the first attempt of a payment, by default of the last one."""
    payment = record.payments[payment_id or list(record.payments)[-1]]
    ((_, result),) = record.turn(record.told(what, payment.attempts[0], **changed)).mail_done
    return result


def test_a_callback_before_our_own_commit_is_a_proper_answer(record: TinyRecord) -> None:
    payment_id = record.submit()

    assert "applied" == _tell(record, "confirmed", bank_reference="b-1")
    assert ("succeeded", "b-1") == (
        record.status(payment_id), record.payments[payment_id].attempts[0].bank_reference,
    )  # fmt: skip
    assert [] == record.answer("confirmed").payments


@pytest.mark.parametrize(("what", "status"), [("confirmed", "succeeded"), ("declined", "failed")])
def test_a_callback_resolves_an_unknown_outcome(record: TinyRecord, what: str, status: str) -> None:
    payment_id = record.submit("payout")
    record.answer("unknown")
    _tell(record, what)

    assert status == record.status(payment_id)
    assert "outcome_resolved" == record.types(payment_id)[-2]


@pytest.mark.parametrize("what", ["confirmed", "declined"])
def test_the_same_word_twice_is_known(record: TinyRecord, what: str) -> None:
    payment_id = record.submit()
    _tell(record, what)
    story = record.types(payment_id)

    assert "refused: already_known" == _tell(record, what)
    assert story == record.types(payment_id)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount_minor": 999}, "mismatch"),
        ({"currency": "USD"}, "mismatch"),
        ({"bank": "bank-beta"}, "mismatch"),
        ({"attempt_id": "att_eu_other_1"}, "unknown_attempt"),
    ],
)
@pytest.mark.parametrize("what", ["confirmed", "declined"])
def test_a_word_that_does_not_fit_moves_nothing_and_is_shown_to_an_operator(
    record: TinyRecord, what: str, changed: dict[str, Any], code: str
) -> None:
    payment_id = record.submit("payout")

    assert f"refused: {code}" == _tell(record, what, **changed)
    assert f"refused: {code}" == _tell(record, what, **changed)
    assert ("submitted", 1_000) == (record.status(payment_id), record.account.held_minor)
    assert {payment_id} == {subject for subject, _ in record.contradictions}
    assert 1 == record.types(payment_id).count("contradiction")


@pytest.mark.parametrize("kind", ["collect", "payout"])
def test_a_decline_of_what_was_confirmed_is_a_contradiction(record: TinyRecord, kind: str) -> None:
    payment_id = record.succeed(kind)

    assert "refused: contradiction" == _tell(record, "declined")
    assert "succeeded" == record.status(payment_id)
    assert "contradiction" == record.types(payment_id)[-1]
    assert record.now == record.payments[payment_id].raised_at


def test_money_that_the_bank_took_back_is_taken_from_the_account(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    before = record.account.posted_minor

    assert "applied" == _tell(record, "returned", amount_minor=400)
    assert "refused: already_known" == _tell(record, "returned", amount_minor=400)
    assert (before - 400, 600) == (
        record.account.posted_minor, headroom_minor(record.payments[payment_id]),
    )  # fmt: skip
    assert ("bank", "succeeded", "bank-alpha") == (
        record.payments[payment_id].refunds[0].origin, record.payments[payment_id].refunds[0].status,
        record.payments[payment_id].refunds[0].asked_by,
    )  # fmt: skip


def test_a_return_of_what_was_given_back_already_is_a_contradiction(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    record.turn(
        RefundAsked(
            payment_id=payment_id, refund_id="ref_eu_00000000000000000000000001", amount_minor=1_000,
            origin="user", reason="", by="key-1",
        )
    )  # fmt: skip

    assert "refused: refund_exceeds_available" == _tell(record, "returned")
    assert "contradiction" == record.types(payment_id)[-1]


def test_a_return_that_overtakes_its_success_is_both(record: TinyRecord) -> None:
    payment_id = record.submit("collect", 1_000)
    _tell(record, "returned", amount_minor=400)

    assert ["succeeded", "refund.requested", "refund.succeeded"] == record.types(payment_id)[-3:]


def test_a_recall_waits_for_a_person(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)

    assert "applied" == _tell(record, "recalled")
    assert ("bank", "in_review", 1_000) == (
        record.payments[payment_id].refunds[0].origin, record.payments[payment_id].refunds[0].status,
        record.payments[payment_id].refund_reserved_minor,
    )  # fmt: skip
    assert 0 == record.account.held_minor
    assert "refused: refund_exceeds_available" == _tell(record, "recalled", bank_event_id="evt-2")


@pytest.mark.parametrize("what", ["bounced", "returned", "recalled", "dispute_opened"])
def test_a_payout_is_neither_refunded_nor_disputed(record: TinyRecord, what: str) -> None:
    record.succeed("payout")

    assert "refused: contradiction" == _tell(record, what, dispute_reference="d-1")


def test_a_dispute_reserves_its_amount_until_it_ends(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    opened = _tell(record, "dispute_opened", amount_minor=700, dispute_reference="d-1")
    again = _tell(record, "dispute_opened", amount_minor=700, dispute_reference="d-1")
    during = headroom_minor(record.payments[payment_id])
    won = _tell(record, "dispute_won", amount_minor=700, dispute_reference="d-1")
    won_again = _tell(record, "dispute_won", amount_minor=700, dispute_reference="d-1")
    lost = _tell(record, "dispute_lost", amount_minor=700, dispute_reference="d-1")

    assert ["applied", "refused: already_known"] == [opened, again]
    assert ["applied", "refused: already_known", "refused: contradiction"] == [won, won_again, lost]
    assert (300, 1_000) == (during, headroom_minor(record.payments[payment_id]))
    assert ["dispute.opened", "dispute.won", "contradiction"] == record.types(payment_id)[-3:]
    assert {} == {key: t for key, t in record.transfers.items() if key.startswith("dsp_")}


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_lost_dispute_takes_what_there_is_and_the_rest_is_debt(is_opened: bool) -> None:
    record = TinyRecord(opening_minor=0)
    payment_id = record.succeed("collect", 1_000)
    record.succeed("payout", 700)
    if is_opened:
        _tell(record, "dispute_opened", payment_id, dispute_reference="d-1")

    assert "applied" == _tell(record, "dispute_lost", payment_id, dispute_reference="d-1")
    assert (0, -700) == (record.account.posted_minor, record.sums()[f"debt:{ACCOUNT}"])
    assert 0 == headroom_minor(record.payments[payment_id])
    assert ("lost", None) == (
        record.payments[payment_id].disputes[0].status, record.payments[payment_id].disputes[0].due,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "changed", "code"),
    [
        ("dispute_opened", {"amount_minor": 600, "dispute_reference": "d-2"}, "refund_exceeds_available"),
        ("dispute_lost", {"amount_minor": 600, "dispute_reference": "d-2"}, "refund_exceeds_available"),
        ("dispute_lost", {"amount_minor": 499, "dispute_reference": "d-1"}, "mismatch"),
        ("dispute_won", {"amount_minor": 500, "dispute_reference": "d-2"}, "unknown_dispute"),
        ("dispute_opened", {"amount_minor": 500, "dispute_reference": None}, "text_invalid"),
        ("dispute_opened", {"amount_minor": 500, "dispute_reference": "d" * 256}, "text_invalid"),
        ("dispute_opened", {"amount_minor": 500, "dispute_reference": "d\0"}, "text_invalid"),
    ],
)
def test_a_dispute_that_cannot_be_is_refused(
    record: TinyRecord, what: str, changed: dict[str, Any], code: str
) -> None:
    payment_id = record.succeed("collect", 1_000)
    _tell(record, "dispute_opened", amount_minor=500, dispute_reference="d-1")

    assert f"refused: {code}" == _tell(record, what, **changed)
    assert 500 == headroom_minor(record.payments[payment_id])


def test_a_dispute_that_the_bank_does_not_end_is_shown_to_an_operator_and_stays_open(
    record: TinyRecord,
) -> None:
    payment_id = record.succeed()
    _tell(record, "dispute_opened", dispute_reference="d-1")
    dispute = record.payments[payment_id].disputes[0]
    for _ in range(3):
        record.wait(dispute.dispute_id, days=45)

    assert "opened" == record.payments[payment_id].disputes[0].status
    assert 1 == record.types(payment_id).count("needs_operator")


@pytest.mark.parametrize("what", ["returned", "recalled"])
def test_the_same_return_under_another_event_is_one(record: TinyRecord, what: str) -> None:
    payment_id = record.succeed("collect", 1_000)
    changed: dict[str, Any] = {"amount_minor": 300, "bank_reference": "b-7"}

    assert "applied" == _tell(record, what, **changed)
    assert "refused: already_known" == _tell(record, what, bank_event_id="evt-2", **changed)
    assert 700 == headroom_minor(record.payments[payment_id])


@pytest.mark.parametrize("other", [{"amount_minor": 299}, {"bank_reference": "b-8"}])
def test_a_return_that_differs_is_another_one(record: TinyRecord, other: dict[str, Any]) -> None:
    payment_id = record.succeed("collect", 1_000)
    _tell(record, "returned", amount_minor=300, bank_reference="b-7")
    second: dict[str, Any] = {"amount_minor": 300, "bank_reference": "b-7", "bank_event_id": "evt-2", **other}

    assert "applied" == _tell(record, "returned", **second)
    assert 2 == len(record.payments[payment_id].refunds)


def test_a_recall_that_was_refused_may_come_again(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _tell(record, "recalled", bank_reference="b-7")
    refund_id = record.payments[payment_id].refunds[0].refund_id
    record.wait(refund_id, hours=25)

    assert "applied" == _tell(record, "recalled", bank_reference="b-7", bank_event_id="evt-2")
    assert ["failed", "in_review"] == [of.status for of in record.payments[payment_id].refunds]


@given(
    told=st.lists(
        st.tuples(st.sampled_from(("b-1", "b-2")), st.integers(1, 3), st.integers(1, 4)), max_size=8
    )
)
def test_returns_count_once_for_each_reference_and_amount(told: list[tuple[str, int, int]]) -> None:
    record = TinyRecord()
    payment_id = record.succeed("collect", 1_000)
    for reference, amount_minor, number in told:
        event_id = f"evt-{reference}-{amount_minor}-{number}"
        _tell(record, "returned", bank_reference=reference, amount_minor=amount_minor, bank_event_id=event_id)

    expected = sum(amount_minor for _, amount_minor in {(r, a) for r, a, _ in told})
    assert expected == record.payments[payment_id].refunded_minor
