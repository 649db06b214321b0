"""`trigger`: make an event happen, with the test instruments of the simulated banks."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from .client_errors import ExchangeFailed
from .connecting import add_gateway, connect
from .following import follow
from .key_file import load_signing_key
from .listen_command import line_of
from .terminal import print_json, print_lines, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from .answers import Answer
    from .arguments import AddCommand
    from .client import Gateway

HAPPENS_S_MAX: Final = 120.0  # the slowest: a bank that does not find a charge at first is asked for a minute
_AMOUNT_MINOR: Final = 1999
_REVIEWED_MINOR: Final = 1_000_001  # the standard rules have a person look at more than 10,000.00
_FOLLOW_S: Final = 5  # one look at the feed; the limit above is kept to within this
_REFERENCE_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Scenario:
    """How an event is made to happen.

    Attributes:
        ends: the type of the event.
        instrument: what is paid with.
        act: what follows once the payment is there for it.
    """

    ends: str
    instrument: str = "tok_visa_ok"
    amount_minor: int = _AMOUNT_MINOR
    act: Literal["nothing", "cancel", "capture", "refund"] = "nothing"

    @property
    def is_manual(self) -> bool:
        """Whether the payment is authorised first, and captured by whoever asked for it."""
        return self.act in ("cancel", "capture") or self.ends == "payment.authorized"

    @property
    def acts_after(self) -> str:
        """The type of the event that the act waits for."""
        return "payment.authorized" if self.is_manual else "payment.succeeded"


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "payment.succeeded": Scenario("payment.succeeded"),
        "payment.failed": Scenario("payment.failed", "tok_declined_insufficient_funds"),
        "payment.failed.rules": Scenario("payment.failed", "tok_test_stolen"),
        "payment.authorized": Scenario("payment.authorized"),
        "payment.captured": Scenario("payment.captured", act="capture"),
        "payment.canceled": Scenario("payment.canceled", act="cancel"),
        "payment.review_opened": Scenario("payment.review_opened", amount_minor=_REVIEWED_MINOR),
        "payment.bank_changed": Scenario("payment.bank_changed", "tok_declined_technical"),
        "payment.outcome_unknown": Scenario("payment.outcome_unknown", "tok_timeout_then_success"),
        "payment.late_success": Scenario("payment.late_success", "tok_declined_then_confirmed"),
        "refund.succeeded": Scenario("refund.succeeded", act="refund"),
        "refund.failed": Scenario("refund.failed", "tok_refund_declined_original_mismatch", act="refund"),
        "refund.reversed": Scenario("refund.reversed", "tok_refund_bounces", act="refund"),
        "refund.outcome_unknown": Scenario(
            "refund.outcome_unknown", "tok_refund_timeout_then_success", act="refund"
        ),
        "dispute.opened": Scenario("dispute.opened", "tok_chargeback_won"),
        "dispute.won": Scenario("dispute.won", "tok_chargeback_won"),
        "dispute.lost": Scenario("dispute.lost", "tok_chargeback_lost"),
    }
)


class NotHappened(ExchangeFailed):
    """The event did not come in time."""

    code = "event_not_seen"


def add_trigger(add: AddCommand) -> None:
    """Add `trigger`."""
    parser = add("trigger", "make an event happen at the simulated banks, and wait for it", run)
    parser.add_argument("scenario", choices=sorted(SCENARIOS), metavar="EVENT", help=", ".join(SCENARIOS))
    add_gateway(parser, os.environ)
    parser.add_argument("--currency", default="EUR", help="of an account of yours; EUR")


def run(options: argparse.Namespace) -> int:
    """Make it happen; print the event."""
    scenario = SCENARIOS[options.scenario]
    key = load_signing_key(options.key, options.passphrase_fd)
    with connect(options, key) as gateway:
        event = _perform(gateway, scenario, options.currency)
    if options.json:
        print_json(event)
    else:
        print_lines({"event": event["id"], "type": event["type"], "payment_id": event["payment_id"]})
    return 0


def _perform(gateway: Gateway, scenario: Scenario, currency: str) -> dict[str, Any]:
    """Pay, do what follows, and return the event.

    Raises:
        NotHappened: it did not come in time, or the payment went another way.
    """
    place = gateway.events.feed()["next"]  # From before the payment on: nothing of it is missed.
    paid = gateway.payments.create(
        kind="collect",
        amount=scenario.amount_minor,
        currency=currency,
        instrument=scenario.instrument,
        merchant_reference=f"trigger-{secrets.token_hex(_REFERENCE_BYTES)}",
        capture_method="manual" if scenario.is_manual else None,
    )
    payment_id = str(paid["id"])
    say(f"paid with {scenario.instrument}: {payment_id}")
    until = time.monotonic() + HAPPENS_S_MAX
    acted = scenario.act == "nothing"
    for page in follow(gateway.events, after=place, wait_s=_FOLLOW_S):
        for event in page["data"]:
            if event["payment_id"] != payment_id:
                continue
            say(line_of(event, coloured=False))
            if event["type"] == scenario.ends:
                return dict(event)
            if not acted and event["type"] == scenario.acts_after:
                _act(gateway, scenario, payment_id)
                acted = True
        if time.monotonic() > until:
            break
    raise NotHappened(
        f"{scenario.ends} did not come within {HAPPENS_S_MAX:.0f} s: read the payment's events",
        idempotency_key=paid.idempotency_key,
    )


def _act(gateway: Gateway, scenario: Scenario, payment_id: str) -> Answer:
    match scenario.act:
        case "cancel":
            return gateway.payments.cancel(payment_id)
        case "capture":
            return gateway.payments.capture(payment_id)
        case _:
            return gateway.refunds.create(payment_id, reason="triggered")
