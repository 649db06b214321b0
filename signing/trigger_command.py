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
    from collections.abc import Iterator, Mapping

    from .answers import Answer
    from .arguments import AddCommand
    from .client import Gateway

HAPPENS_S_MAX: Final = 120.0  # the slowest: a bank that does not find a charge at first is asked for a minute
_AMOUNT_MINOR: Final = 1999
_REVIEWED_MINOR: Final = 1_000_001  # the standard rules have a person look at more than 10,000.00
_FOLLOW_S: Final = 5  # one look at the feed; the limit above is kept to within this
_REFERENCE_BYTES: Final = 6
# Files are read twice a minute and an unanswered bank is waited for 5 s: one payment in six is overtaken.
PAYMENTS_MAX: Final = 5


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

    def is_overtaken_by(self, event_type: str) -> bool:
        """Whether the event can no longer come: the bank's settlement file told the outcome first."""
        subject, _, happening = self.ends.partition(".")
        return happening == "outcome_unknown" and event_type in (f"{subject}.succeeded", f"{subject}.failed")


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
    """Pay until the event happens, and return it.

    Raises:
        NotHappened: it did not come in time, or the payments went another way.
    """
    for _ in range(PAYMENTS_MAX):
        event = _pay(gateway, scenario, currency)
        if event is not None:
            return event
        say(f"{scenario.ends} was overtaken: a settlement file told the outcome first")
    raise NotHappened(
        f"{scenario.ends} was overtaken {PAYMENTS_MAX} times: begin again in a minute", idempotency_key=None
    )


def _pay(gateway: Gateway, scenario: Scenario, currency: str) -> dict[str, Any] | None:
    """Pay once, do what follows, and return the event; None: it can no longer come.

    Raises:
        NotHappened: it did not come in time.
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
    acted = scenario.act == "nothing"
    for event in _happening(gateway, place, payment_id):
        say(line_of(event, coloured=False))
        if event["type"] == scenario.ends:
            return event
        if scenario.is_overtaken_by(event["type"]):
            return None
        if not acted and event["type"] == scenario.acts_after:
            _act(gateway, scenario, payment_id)
            acted = True
    raise NotHappened(
        f"{scenario.ends} did not come within {HAPPENS_S_MAX:.0f} s: read the payment's events",
        idempotency_key=paid.idempotency_key,
    )


def _happening(gateway: Gateway, place: str, payment_id: str) -> Iterator[dict[str, Any]]:
    """A payment's events as they come, for HAPPENS_S_MAX."""
    until = time.monotonic() + HAPPENS_S_MAX
    for page in follow(gateway.events, after=place, wait_s=_FOLLOW_S):
        yield from (dict(event) for event in page["data"] if event["payment_id"] == payment_id)
        if time.monotonic() > until:
            return


def _act(gateway: Gateway, scenario: Scenario, payment_id: str) -> Answer:
    match scenario.act:
        case "cancel":
            return gateway.payments.cancel(payment_id)
        case "capture":
            return gateway.payments.capture(payment_id)
        case _:
            return gateway.refunds.create(payment_id, reason="triggered")
