from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.api.shapes import Decline, LatestAttempt, Payment, PaymentLinks
from gateway.api.versions import Change, Versions

# What payments looked like before they told amounts, review, attempt and links, and of a decline only the
# code. A client of then that reads strictly would stumble over the rest.
BEFORE_AMOUNTS = (
    "id", "object", "kind", "status", "sequence", "amount", "currency", "merchant_reference", "decline",
    "created_at", "updated_at",
)  # fmt: skip


def without_amounts(payment: dict[str, Any]) -> dict[str, Any]:
    decline = payment["decline"]
    short = {name: payment[name] for name in BEFORE_AMOUNTS}
    return short | {"decline": None if decline is None else {"code": decline["code"]}}


def with_state(payment: dict[str, Any]) -> dict[str, Any]:
    return {("state" if name == "status" else name): value for name, value in payment.items()}


AMOUNTS = Change("2026-11-26", {"payment": without_amounts})
STATUS = Change("2026-03-01", {"payment": with_state})
HISTORY = Versions((AMOUNTS, STATUS))


def payment() -> Payment:
    return Payment(
        id="pay_eu_1",
        kind="collect",
        status="failed",
        sequence=4,
        amount=1999,
        currency="EUR",
        amount_capturable=0,
        amount_captured=0,
        amount_refunded=0,
        amount_refund_reserved=0,
        amount_disputed=0,
        capture_method="automatic",
        instrument="tok_visa_ok",
        merchant_reference=None,
        decline=Decline(code="expired_card", advice="retry_other_instrument"),
        review=None,
        latest_attempt=LatestAttempt(
            id="att_1", bank="b", operation="collect", state="declined", amount=1999
        ),
        expires_at=None,
        created_at="2026-10-01T00:00:00.000000Z",
        updated_at="2026-10-01T00:00:01.000000Z",
        request=None,
        links=PaymentLinks(self="/", attempts="/", events="/", evidence="/", refunds="/", disputes="/"),
    )


def test_a_merchant_of_before_is_answered_as_before() -> None:
    shown = json.loads(HISTORY.render(payment(), "2026-10-01"))

    assert {
        "id": "pay_eu_1",
        "object": "payment",
        "kind": "collect",
        "status": "failed",
        "sequence": 4,
        "amount": 1999,
        "currency": "EUR",
        "merchant_reference": None,
        "decline": {"code": "expired_card"},
        "created_at": "2026-10-01T00:00:00.000000Z",
        "updated_at": "2026-10-01T00:00:01.000000Z",
    } == shown


def test_changes_are_undone_from_the_newest_to_the_merchants_version() -> None:
    shown = json.loads(HISTORY.render(payment(), "2026-01-01"))

    assert ("failed", False, False) == (shown["state"], "status" in shown, "links" in shown)


@pytest.mark.parametrize("version", ["2026-11-26", "2027-01-01"])
def test_a_merchant_of_now_is_answered_the_newest_shape(version: str) -> None:
    assert Versions(()).render(payment(), version) == HISTORY.render(payment(), version)


def test_what_is_in_a_list_has_the_old_shape_too() -> None:
    page = {"object": "list", "data": [payment(), {"object": "refund", "status": "failed"}]}

    shown = json.loads(HISTORY.render(page, "2026-01-01"))

    assert "state" in shown["data"][0]
    assert {"object": "refund", "status": "failed"} == shown["data"][1]


def test_an_older_shape_is_known_by_its_version_and_the_newest_by_none() -> None:
    assert ("2026-10-01", None, None) == (
        HISTORY.shape("payment", "2026-10-01"),
        HISTORY.shape("payment", "2026-11-26"),
        HISTORY.shape("refund", "2026-10-01"),
    )


@pytest.mark.parametrize("changes", [(STATUS, AMOUNTS), (STATUS, STATUS)])
def test_a_history_that_is_out_of_order_is_refused(changes: tuple[Change, ...]) -> None:
    with pytest.raises(ValueError, match="newest first"):
        Versions(changes)
