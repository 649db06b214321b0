"""The configuration of the engine, and the deadlines and limits that depend on each other."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from services.banks.exponents import AmountRefused, minor_of
from services.banks.messages import BANK_CALL_S_MAX
from services.fraud.messages import ITEMS_MAX, SCREENING_CALL_S_MAX
from services.node.config_file import EgressConfig, ListenConfig, NatsConfig, NodeConfig, PostgresConfig
from services.node.hop_client import CONNECTIONS_MAX
from services.node.pacing import Pace
from services.payments.machine.policy import Policy
from services.payments.machine.terms import BankTerms, terms_of
from services.payments.outlets import outlets_for

# The connector's own deadline plus a second for two sidecars and a busy host.
HOP_CALL_S_MAX = 4.0
# The fraud service's own deadline plus half a second for the same.
FRAUD_HOP_CALL_S_MAX = 2.5
# A lease covers the longest piece of work, a question followed by sending again, and the recording of it.
RECORD_S_MIN = 2.0
# The knee of throughput was measured at batches of 64 to 128.
TURN_ITEMS_MAX = 128
TURN_ACCOUNTS_MAX = 128

assert TURN_ITEMS_MAX <= ITEMS_MAX
assert BANK_CALL_S_MAX < HOP_CALL_S_MAX
assert SCREENING_CALL_S_MAX < FRAUD_HOP_CALL_S_MAX
assert Policy().screening_lease.total_seconds() > FRAUD_HOP_CALL_S_MAX
assert Policy().lease.total_seconds() > 2 * HOP_CALL_S_MAX + RECORD_S_MIN


class WorkerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of one worker; the defaults are the product's.

    Attributes:
        bank_names: The banks it drives, at least one.
        sends_per_bank_max, redrives_per_bank_max: Bulkheads of one bank: first calls on one side, overdue
            ones on the other, so that neither starves the other and a slow bank fills its own only.
        queue_per_bank_max: First calls that may wait here for a place; a full one gets no new payments.
        room_min: Below this much room no new payments are taken: small batches cost as much as large ones.
        screenings_max: Questions to the fraud service under way.
        linger_s: How long a first item waits for company. Through the mesh answers trickle in, and a turn of
            three costs nearly what one of thirty does: 2 ms were measured to cost half of all payments/s.
        pace: Rests of each loop after a turn that was not full. Without them turns of one or two payments
            took all of two processors at 100 payments/s, and everybody waited for half a second.
        idle_s_min, idle_s_max: Pauses between turns that find nothing: short after work, then longer.
        away_s: Pause while the database or the fraud service is away; back within a second.
        period_s: How often reminders are looked for; the shortest of them is 2 s.
        mail_s: Without room new payments wait; commands and callbacks are looked for this often all the same.
        window_age, window_items_min: A window is posted when its oldest credit has this age, or is full.
        window_period_s: How often windows are looked for.
        call_s_max: No call to a bank lasts longer.
    """

    bank_names: tuple[str, ...]
    sends_per_bank_max: int = 96
    redrives_per_bank_max: int = 32
    queue_per_bank_max: int = 128
    room_min: int = 32
    screenings_max: int = 4
    linger_s: float = 0.02
    pace: Pace = Pace(factor=3.0, rest_s_max=0.1)
    idle_s_min: float = 0.005
    idle_s_max: float = 0.025
    away_s: float = 0.5
    period_s: float = 1.0
    mail_s: float = 0.25
    window_age: timedelta = timedelta(milliseconds=250)
    window_items_min: int = 500
    window_period_s: float = 0.1
    call_s_max: float = HOP_CALL_S_MAX


# A call that waited for a connection would spend its deadline, and its lease, on waiting.
_DEFAULTS = WorkerConfig(bank_names=())
assert _DEFAULTS.sends_per_bank_max + _DEFAULTS.redrives_per_bank_max <= CONNECTIONS_MAX


class ApprovalLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which amounts on more than one person is needed.

    Amounts are in major units, with exactly the digits that ISO 4217 gives the currency: `"10000.00"` EUR,
    `"1500000"` JPY. In a currency that is not named every amount needs the second person.

    Attributes:
        second_approver: By currency; payments in review from this amount on need two approvals.
        refund_review: By currency; customer service's refunds from this amount on need another's approval.
    """

    second_approver: dict[str, str] = msgspec.field(
        default_factory=lambda: {"EUR": "10000.00", "GBP": "10000.00", "USD": "10000.00", "JPY": "1500000"}
    )
    refund_review: dict[str, str] = msgspec.field(
        default_factory=lambda: {"EUR": "500.00", "GBP": "500.00", "USD": "500.00", "JPY": "75000"}
    )

    def __post_init__(self) -> None:
        """Refuse an amount that its currency does not have, with a sentence."""
        self.policy()

    def policy(self) -> Policy:
        """The product's policy with these limits."""
        return Policy(
            second_approver_minor=_minor_of(self.second_approver),
            refund_review_minor=_minor_of(self.refund_review),
        )


def _minor_of(limits: dict[str, str]) -> dict[str, int]:
    try:
        return {currency: minor_of(amount, currency) for currency, amount in limits.items()}
    except AmountRefused as refusal:
        raise ValueError(f"limits of approval: {refusal}") from refusal


class PaymentsConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.payments --config FILE` reads.

    Attributes:
        listen: Own listener; the supervisor asks `/healthz` and `/metrics` there, nobody else has a route.
        postgres: The record.
        nats: The bus that events are published to.
        banks: The own sidecar's way out to the banks service.
        fraud: The own sidecar's way out to the fraud service.
        bank_names: The banks that payments may be routed to, at least one.
        bank_terms: What they take and cost, by name; one that is missing takes everything and costs nothing.
        approvals: From which amounts on a second person is needed.
        subscribers: By stream of the bus, whose consumers must not miss anything; unread ones are not filled.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    nats: NatsConfig
    banks: EgressConfig
    fraud: EgressConfig
    bank_names: list[str]
    bank_terms: dict[str, BankTerms] = msgspec.field(default_factory=dict)
    approvals: ApprovalLimits = msgspec.field(default_factory=ApprovalLimits)
    subscribers: dict[str, list[str]] = msgspec.field(default_factory=lambda: {"EVENTS": ["notifications"]})

    def __post_init__(self) -> None:
        """Refuse terms of a bank that is not connected, and a stream that does not exist."""
        terms_of(self.bank_names, self.bank_terms)
        outlets_for(self.subscribers)
