from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.machine.account import Balance
from services.payments.machine.errors import InvariantBroken
from services.payments.machine.invariants import check
from services.payments.machine.model import Account, Attempt, Dispute, Payment, Refund
from tests.unit.services.payments.machine.tiny_record import TinyRecord


def _account(posted_minor: int = 100, held_minor: int = 0, unposted_minor: int = 0) -> Account:
    return Account(
        account_id="acc_1", merchant_id="m_1", currency="EUR", posted_minor=posted_minor,
        held_minor=held_minor, unposted_minor=unposted_minor, version=7,
    )  # fmt: skip


def test_an_account_that_nothing_happened_to_is_not_written() -> None:
    assert None is Balance(_account()).changed_row()


@pytest.mark.parametrize(
    ("posted", "held", "unposted", "asked", "granted", "flushed"),
    [
        (100, 0, 0, 100, True, False),
        (100, 0, 0, 101, False, False),
        (100, 1, 0, 100, False, False),
        (100, 0, 1, 101, True, True),
        (100, 0, 50, 100, True, False),
        (100, 0, 1, 102, False, False),
    ],
)
def test_a_hold_is_granted_from_what_is_there_and_then_from_what_waits(
    posted: int, held: int, unposted: int, asked: int, granted: bool, flushed: bool
) -> None:
    balance = Balance(_account(posted, held, unposted))

    assert granted == balance.hold(asked)
    assert flushed == balance.flushed


def test_a_credit_after_a_flush_is_posted_by_the_same_flush() -> None:
    balance = Balance(_account(0, 0, 100))
    balance.queue_credit(5)
    balance.hold(105)
    balance.queue_credit(7)

    assert (112, 105, 0) == (balance.posted_minor, balance.held_minor, balance.unposted_minor)


def test_more_than_is_held_is_not_released() -> None:
    with pytest.raises(InvariantBroken):
        Balance(_account(100, 10)).release(11)


def test_an_account_below_zero_is_not_written() -> None:
    balance = Balance(_account(100, 10))
    balance.posted_minor = 9

    with pytest.raises(InvariantBroken):
        balance.changed_row()


@given(
    st.lists(
        st.tuples(st.sampled_from(["hold", "post", "release", "spend", "queue_credit"]), st.integers(1, 60))
    )
)
def test_no_sequence_of_calls_brings_an_account_below_zero(calls: list[tuple[str, int]]) -> None:
    balance = Balance(_account())
    for name, amount_minor in calls:
        if name in {"post", "release"} and amount_minor > balance.held_minor:
            continue
        getattr(balance, name)(amount_minor)

        assert balance.available_minor >= 0
        assert min(balance.held_minor, balance.unposted_minor) >= 0


NOW = datetime(2026, 11, 25, tzinfo=UTC)


def _succeeded() -> Payment:
    record = TinyRecord()
    return record.payments[record.succeed("collect", 1_000)]


def _attempt(payment: Payment, **changed: Any) -> Attempt:
    return msgspec.structs.replace(payment.attempts[0], **changed)


def _refund(payment: Payment, **changed: Any) -> Refund:
    return Refund(**{
        "refund_id": "ref_1", "payment_id": payment.payment_id, "origin": "user", "amount_minor": 400,
        "status": "succeeded", "reason": "", "asked_by": "ann", "due": None, "asked_at": NOW, **changed,
    })  # fmt: skip


def _dispute(payment: Payment, due: datetime | None) -> Dispute:
    return Dispute(
        dispute_id="dsp_1", payment_id=payment.payment_id, amount_minor=1, status="opened",
        bank_reference="d", due=due, opened_at=NOW,
    )  # fmt: skip


PAID = _succeeded()
BROKEN: dict[str, dict[str, Any]] = {
    "leaves its end": {"status": "failed", "decline_code": "generic"},
    "a final one with a reminder": {"due": NOW},
    "a code without a failure": {"decline_code": "generic"},
    "no place in the order": {"account_version": None},
    "no bank": {"bank": None},
    "more refunded than captured": {"refunded_minor": 1_001},
    "less than nothing refunded": {"refunded_minor": -1},
    "more captured than asked for": {"captured_minor": 1_001},
    "a second money attempt": {
        "attempts": (PAID.attempts[0], _attempt(PAID, attempt_id="att_2", state="unknown"))
    },
    "a refund without a reminder": {"refunds": (_refund(PAID, status="submitted"),)},
    "a refund that is not counted": {"refunds": (_refund(PAID),)},
    "a refund approved by who asked": {
        "refunds": (_refund(PAID, approved_by="ann"),), "refunded_minor": 400,
    },
    "a dispute without a reminder": {"disputes": (_dispute(PAID, None),)},
}  # fmt: skip


@pytest.mark.parametrize("changed", BROKEN.values(), ids=list(BROKEN))
def test_a_payment_that_breaks_what_must_hold_is_not_written(changed: dict[str, Any]) -> None:
    with pytest.raises(InvariantBroken):
        check(PAID, msgspec.structs.replace(PAID, **changed))


def test_a_payment_with_everything_in_order_is_written() -> None:
    check(
        PAID,
        msgspec.structs.replace(
            PAID, refunds=(_refund(PAID),), refunded_minor=400, disputes=(_dispute(PAID, NOW),),
            attempts=(PAID.attempts[0], _attempt(PAID, attempt_id="att_2", state="declined")),
        ),
    )  # fmt: skip
