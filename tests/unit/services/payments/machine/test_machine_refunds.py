from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.events import RefundAsked, RefundCancelAsked
from services.payments.machine.model import Refund, headroom_minor
from services.payments.machine.policy import Policy
from tests.unit.services.payments.machine.tiny_record import ACCOUNT, POLICY, TinyRecord

REFUND = "ref_eu_00000000000000000000000001"
OTHER = "ref_eu_00000000000000000000000002"


@pytest.fixture
def record() -> TinyRecord:
    return TinyRecord()


def _ask(record: TinyRecord, payment_id: str, amount_minor: int = 400, **changed: Any) -> list[str]:
    event = RefundAsked(**{
        "payment_id": payment_id, "mail_id": 1, "refund_id": REFUND, "amount_minor": amount_minor,
        "origin": "user", "reason": "sorry", "by": "key-1", **changed,
    })  # fmt: skip
    return [result for _, result in record.turn(event).mail_done]


def _only(record: TinyRecord, payment_id: str) -> Refund:
    (of,) = record.payments[payment_id].refunds
    return of


def test_a_refund_goes_back_over_the_bank_that_has_the_money(record: TinyRecord) -> None:
    payment_id = record.submit()
    record.answer("declined", code="technical")
    record.answer("confirmed")
    _ask(record, payment_id)
    order, held = record.orders[-1], record.account.held_minor
    record.answer("confirmed")

    payment = record.payments[payment_id]
    assert ("refund", "bank-beta", 400) == (order.operation, order.bank, order.amount_minor)
    assert f"ref-{payment.attempts[1].attempt_id}" == order.original_reference
    assert (400, 0) == (held, record.account.held_minor)
    assert (0, 400, 600) == (
        payment.refund_reserved_minor, payment.refunded_minor, headroom_minor(payment),
    )  # fmt: skip
    assert "succeeded" == _only(record, payment_id).status
    assert ["refund.requested", "refund.submitted", "refund.succeeded"] == record.types(payment_id)[-3:]
    assert {REFUND} == {told.subject_id for told in record.story[payment_id][-3:]}


def test_two_refunds_of_sixty_of_a_hundred_are_one(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)

    assert ["applied"] == _ask(record, payment_id, 600)
    assert ["refused: refund_exceeds_available"] == _ask(record, payment_id, 600, refund_id=OTHER)
    assert ["applied"] == _ask(record, payment_id, 400, refund_id=OTHER)
    assert 0 == headroom_minor(record.payments[payment_id])


def test_the_same_refund_asked_for_twice_is_one(record: TinyRecord) -> None:
    payment_id = record.succeed()
    _ask(record, payment_id)

    assert ["refused: already_known"] == _ask(record, payment_id)
    assert 400 == record.payments[payment_id].refund_reserved_minor


def test_another_payments_refund_id_is_taken(record: TinyRecord) -> None:
    first, second = record.succeed(), record.succeed()
    _ask(record, first)

    assert ["refused: refund_id_taken"] == _ask(record, second)
    assert () == record.payments[second].refunds


@given(
    asked=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from((REFUND, OTHER)), st.integers(0, 500)), max_size=8
    ),
    turns=st.integers(1, 8),
)
def test_a_refund_id_is_of_the_payment_that_was_first_to_get_it(
    asked: list[tuple[int, str, int]], turns: int
) -> None:
    record = TinyRecord()
    names = [record.succeed() for _ in range(3)]
    events = [
        RefundAsked(
            payment_id=names[place], mail_id=number, refund_id=refund_id, amount_minor=amount_minor,
            origin="user", reason="sorry", by="key-1",
        )
        for number, (place, refund_id, amount_minor) in enumerate(asked)
    ]  # fmt: skip
    for first in range(0, len(events), turns):
        record.turn(*events[first : first + turns])

    owners: dict[str, str] = {}
    for number, event in enumerate(events):
        owner = owners.get(event.refund_id)
        expected = (
            "already_known" if owner == event.payment_id
            else "refund_id_taken" if owner is not None
            else "amount_invalid" if event.amount_minor == 0
            else "refund_exceeds_available" if record.mail[number] != "applied" else None
        )  # fmt: skip
        assert ("applied" if expected is None else f"refused: {expected}") == record.mail[number]
        if expected is None:
            owners[event.refund_id] = event.payment_id
    assert owners == {of.refund_id: name for name in names for of in record.payments[name].refunds}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount_minor": 0}, "amount_invalid"),
        ({"amount_minor": 1_001}, "refund_exceeds_available"),
        ({"refund_id": "ref_1"}, "id_invalid"),
        ({"reason": "x" * 256}, "text_invalid"),
        ({"reason": "\0"}, "text_invalid"),
        ({"by": "\0"}, "text_invalid"),
        ({"by": ""}, "text_invalid"),
        ({"origin": "system"}, "origin_not_allowed"),
        ({"bank_moved": True}, "origin_not_allowed"),
    ],
)
def test_what_cannot_be_refunded_is_refused(record: TinyRecord, changed: dict[str, Any], code: str) -> None:
    payment_id = record.succeed("collect", 1_000)

    assert [f"refused: {code}"] == _ask(record, payment_id, **changed)
    assert () == record.payments[payment_id].refunds


def test_only_a_collect_that_succeeded_is_refunded(record: TinyRecord) -> None:
    payout, authorized = record.succeed("payout"), record.authorize()

    assert ["refused: state_conflict"] == _ask(record, payout)
    assert ["refused: state_conflict"] == _ask(record, authorized)


def test_a_refund_that_the_account_cannot_pay_has_failed_and_no_bank_hears_of_it() -> None:
    record = TinyRecord(opening_minor=0)
    payment_id = record.succeed("collect", 1_000)
    record.succeed("payout", 700)
    _ask(record, payment_id, 400)

    assert "insufficient_funds" == _only(record, payment_id).decline_code
    assert 1_000 == headroom_minor(record.payments[payment_id])
    assert "payout" == record.orders[-1].operation


def test_a_refund_may_use_the_credits_that_wait_for_their_window() -> None:
    record = TinyRecord(opening_minor=0)
    payment_id = record.succeed("collect", 1_000)
    _ask(record, payment_id, 1_000)

    assert "submitted" == _only(record, payment_id).status
    assert 0 == record.account.unposted_minor


def test_a_declined_refund_frees_money_and_headroom(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _ask(record, payment_id)
    record.answer("declined", code="account_closed")

    assert ("failed", "account_closed") == (
        _only(record, payment_id).status, _only(record, payment_id).decline_code,
    )  # fmt: skip
    assert (1_000, 0) == (headroom_minor(record.payments[payment_id]), record.account.held_minor)


def test_an_unknown_refund_is_asked_for_and_keeps_what_it_reserved(record: TinyRecord) -> None:
    payment_id = record.succeed()
    _ask(record, payment_id)
    record.answer("unknown")
    record.wait(REFUND, seconds=2)
    status = _only(record, payment_id).status
    record.answer("confirmed")

    assert "unknown" == status
    assert "inquire" == record.orders[-1].action
    assert f"ref-{record.orders[0].attempt_id}" == record.orders[-1].original_reference
    assert ["refund.outcome_unknown", "refund.outcome_resolved", "refund.succeeded"] == record.types(
        payment_id
    )[-3:]


def test_an_old_refund_without_an_outcome_calls_an_operator_once(record: TinyRecord) -> None:
    payment_id = record.succeed()
    _ask(record, payment_id)
    for _ in range(4):
        record.wait(REFUND, hours=13)

    assert 1 == record.types(payment_id).count("needs_operator")


def test_a_refund_that_the_bank_never_had_is_sent_again_a_few_times_to_the_same_bank(
    record: TinyRecord,
) -> None:
    record.banks.final = {"bank-alpha"}
    payment_id = record.succeed()
    _ask(record, payment_id)
    for _ in range(2 * POLICY.attempts_max):
        record.wait(REFUND, minutes=11)
        record.answer("not_found")

    attempts = record.payments[payment_id].attempts[1:]
    assert [("not_processed", "bank-alpha")] * POLICY.attempts_max == [(a.state, a.bank) for a in attempts]
    assert "bank_unavailable" == _only(record, payment_id).decline_code


def test_a_refund_is_withdrawn_while_no_bank_has_it(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    cancel = RefundCancelAsked(payment_id=payment_id, mail_id=2, refund_id=REFUND, by="key-1")
    unknown = record.turn(cancel).mail_done
    _ask(record, payment_id)
    sending = record.turn(cancel).mail_done
    record.answer("unsent")
    intent = record.turn(cancel).mail_done

    assert [(2, "refused: unknown_refund")] == unknown
    assert [(2, "refused: state_conflict")] == sending
    assert [(2, "applied")] == intent
    assert "canceled" == _only(record, payment_id).status
    assert (1_000, 0) == (headroom_minor(record.payments[payment_id]), record.account.held_minor)


def test_a_merchant_cannot_withdraw_what_others_asked_for(record: TinyRecord) -> None:
    record.policy = Policy(refund_review_minor={"EUR": 1})
    payment_id = record.succeed("collect", 1_000)
    _ask(record, payment_id, origin="customer_service")
    cancel = RefundCancelAsked(payment_id=payment_id, mail_id=2, refund_id=REFUND, by="key-1")

    assert [(2, "refused: origin_not_allowed")] == record.turn(cancel).mail_done
    assert "in_review" == _only(record, payment_id).status


def test_customer_service_refunds_small_amounts_alone(record: TinyRecord) -> None:
    record.policy = Policy(refund_review_minor={"EUR": 401})
    payment_id = record.succeed()
    _ask(record, payment_id, 400, origin="customer_service")
    _ask(record, payment_id, 401, origin="customer_service", refund_id=OTHER)

    assert ["submitted", "in_review"] == [of.status for of in record.payments[payment_id].refunds]


def test_a_bounced_refund_gives_money_and_headroom_back(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    record.post_windows()
    before = record.account.posted_minor
    _ask(record, payment_id)
    order = record.orders[-1]
    record.answer("confirmed")
    first = record.turn(record.told("bounced", order)).mail_done
    second = record.turn(record.told("bounced", order)).mail_done

    assert ["applied", "refused: already_known"] == [first[0][1], second[0][1]]
    assert ("reversed", 1_000) == (
        _only(record, payment_id).status, headroom_minor(record.payments[payment_id]),
    )  # fmt: skip
    assert before == record.account.posted_minor
    assert "reversed" == record.payments[payment_id].attempts[-1].state


def test_a_bounce_that_overtakes_its_success_is_both(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    _ask(record, payment_id)
    record.turn(record.told("bounced", record.orders[-1]))

    assert ["refund.succeeded", "refund.reversed"] == record.types(payment_id)[-2:]
    assert 0 == record.account.held_minor


def test_what_a_bank_gave_back_by_itself_is_only_followed(record: TinyRecord) -> None:
    payment_id = record.succeed("collect", 1_000)
    before = record.account.posted_minor
    orders = len(record.orders)
    _ask(record, payment_id, 400, origin="bank", bank_moved=True, by="bank-alpha")

    assert "succeeded" == _only(record, payment_id).status
    assert (orders, before - 400) == (len(record.orders), record.account.posted_minor)
    assert f"{REFUND}/post" in record.transfers


def test_what_the_account_has_not_got_becomes_its_debt() -> None:
    record = TinyRecord(opening_minor=0)
    payment_id = record.succeed("collect", 1_000)
    record.succeed("payout", 700)
    _ask(record, payment_id, 1_000, origin="bank", bank_moved=True, by="bank-alpha")

    assert (0, -700) == (record.account.posted_minor, record.sums()[f"debt:{ACCOUNT}"])
