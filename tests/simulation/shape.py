"""What kind of world a seed makes: how large, how busy, and which faults belong to it.

Not every world has every fault: with a few kinds at a time each one meets states that a storm of all of them
would never let it reach (swarm testing).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

from services.payments.config import WorkerConfig
from services.payments.machine.fees import FeeSchedule
from services.payments.machine.model import Operation
from services.payments.machine.policy import Policy
from services.payments.machine.terms import BankTerms

# Kinds of fault and their chance at each occasion, before the seed chooses and scales them.
RATES = {
    "db_stall": 0.01,
    "db_connection_lost": 0.01,
    "db_deadlock": 0.01,
    "db_serialization": 0.01,
    "db_lost_before_commit": 0.02,
    "db_lost_after_commit": 0.03,
    "db_silent": 0.005,
    "bank_request_lost": 0.08,
    "bank_request_late": 0.05,
    "bank_answer_lost": 0.10,
    "bank_not_found_yet": 0.20,
    "bank_wrong_amount": 0.05,
    "bank_garbled": 0.02,
    "bank_moves_other_amount": 0.03,
    "bank_unsent": 0.10,
    "bank_slow": 0.10,
    "bank_pending": 0.15,
    "bank_declines": 0.15,
    "bank_declines_retryable": 0.15,
    "bank_mind_changed": 0.20,
    "bank_callback": 0.40,
    "bank_callback_early": 0.50,
    "bank_callback_twice": 0.30,
    "bank_callback_again": 0.20,
    "bank_callback_late": 0.10,
    "bank_callback_wrong": 0.05,
    "bank_refund_bounces": 0.25,
    "bank_dispute": 0.15,
    "bank_returned": 0.10,
    "bank_recall": 0.10,
    "bank_takes_too_much": 0.60,
    "bank_contradicts": 0.05,
    "bank_speaks_of_nothing": 0.05,
    "bank_tells_by_file": 0.50,
    "connector_refuses": 0.05,
    "settlement_unread": 0.20,
    "settlement_missing": 0.10,
    "settlement_wrong": 0.10,
    "settlement_twice": 0.10,
    "settlement_strange": 0.05,
    "settlement_late": 0.10,
    "fraud_unsent": 0.10,
    "fraud_answer_lost": 0.10,
    "fraud_verdict_missing": 0.10,
    "no_route": 0.05,
}  # fmt: skip
# Calls that never leave while what became of them is committed and nobody is told: an answer comes twice, the
# second time under a lease that is long gone.
LOST_ECHOES = {
    "bank_unsent": 0.5, "bank_slow": 0.6, "bank_answer_lost": 0.3, "db_silent": 0.1,
    "db_lost_after_commit": 0.3, "db_stall": 0.2,
}  # fmt: skip
# What may be struck by a storm: the share of worlds that have it.
STORMS = {
    "worker_killed": 0.6,
    "worker_paused": 0.4,
    "worker_stopped": 0.3,
    "db_refuses_one": 0.15,
    "db_restarted": 0.3,
    "db_away": 0.25,
    "bank_down": 0.35,
    "bank_deaf": 0.25,
    "bank_mute": 0.25,
    "fraud_down": 0.2,
    "bank_drained": 0.4,
}
CURRENCIES = ("EUR", "USD", "JPY")
_PARTS: tuple[tuple[Operation, ...], ...] = (
    ("payout",), ("collect", "refund"), ("collect", "authorise", "capture", "void", "refund"),
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The world of one seed.

    Attributes:
        busy_s: Payments and commands come within this time.
        storm_s: How long the weather is bad.
        storms: Kinds of larger faults that happen now and then.
        shares: Of fraud verdicts: review, reject.
        manual_share, payout_share, refund_share: Of the payments.
        terms: What each bank takes and costs; the first takes everything.
        batch_s: How long lines of a settlement file are gathered.
    """

    seed: int
    workers: int
    payments: int
    accounts: int
    banks: tuple[str, ...]
    busy_s: float
    storm_s: float
    rates: dict[str, float]
    storms: tuple[str, ...]
    shares: tuple[float, float]
    manual_share: float
    payout_share: float
    refund_share: float
    terms: dict[str, BankTerms]
    batch_s: float
    late_s: tuple[float, float]
    policy: Policy
    config: WorkerConfig

    @classmethod
    def of(cls, seed: int) -> Shape:
        """Choose everything by the seed."""
        chance = random.Random(f"{seed}/shape")
        some = chance.choice((0.2, 0.5, 0.8))
        scale = chance.choice((0.5, 1.0, 1.0, 2.0, 4.0))
        rates = {kind: min(rate * scale, 0.6) for kind, rate in RATES.items() if chance.random() < some}
        if chance.random() < 0.15:
            rates |= LOST_ECHOES
        storms = tuple(kind for kind, share in STORMS.items() if chance.random() < share)
        banks = ("north", "south", "east")[: chance.choice((1, 2, 2, 3))]
        # Long storms outlast the age at which a request may be sent again, and the patience before an alarm.
        storm_s = chance.choice((20.0, 120.0, 120.0, 900.0, 7200.0, 100_000.0))
        return cls(
            seed=seed,
            workers=chance.choice((1, 2, 2, 3)),
            payments=chance.randint(5, 12),
            accounts=chance.randint(1, 3),
            banks=banks,
            busy_s=chance.choice((0.05, 1.0, 10.0, 120.0)),
            storm_s=storm_s,
            rates=rates,
            storms=storms,
            shares=chance.choice(((0.0, 0.0), (0.15, 0.1), (0.4, 0.1))),
            manual_share=chance.choice((0.0, 0.3, 0.6)),
            payout_share=chance.choice((0.0, 0.3, 0.5)),
            refund_share=chance.choice((0.2, 0.6)),
            terms={bank: _terms(chance, is_first=bank == banks[0]) for bank in banks},
            batch_s=chance.choice((1.0, 3_600.0, 90_000.0)),
            # How late a request may be carried out: by a bank whose "not found" is final, and by others.
            late_s=(200.0, chance.choice((90.0, 5_000.0))),
            # In some worlds there is no room for more than one or two calls at a time.
            config=chance.choice(
                (
                    WorkerConfig(bank_names=banks, room_min=1),
                    WorkerConfig(
                        bank_names=banks,
                        room_min=1,
                        sends_per_bank_max=1,
                        queue_per_bank_max=1,
                        redrives_per_bank_max=1,
                        screenings_max=1,
                    ),
                    WorkerConfig(bank_names=banks),
                )
            ),
            policy=Policy(
                resend_age_max=chance.choice(
                    (timedelta(hours=20), timedelta(hours=20), timedelta(seconds=30))
                ),
                # Nobody has set a limit for the third currency.
                second_approver_minor=dict.fromkeys(CURRENCIES[:2], chance.choice((5_000, 1_000_000))),
                refund_review_minor=dict.fromkeys(CURRENCIES[:2], chance.choice((2_000, 50_000))),
                review_deadline=timedelta(hours=chance.choice((1, 24))),
                authorization_life=timedelta(hours=chance.choice((1, 24, 168))),
                attempts_max=chance.choice((1, 2, 3)),
                dispute_deadline=timedelta(days=chance.choice((5, 45))),
            ),
        )


def _terms(chance: random.Random, *, is_first: bool) -> BankTerms:
    """What a bank agreed to. Prices in another currency than the world's are prices that nobody knows."""
    priced = chance.choice((CURRENCIES, CURRENCIES, chance.sample(CURRENCIES, 1), ()))
    fees = {
        f"in-{currency.lower()}": FeeSchedule(
            currency=currency, fixed_minor=chance.choice((0, 1, 30)), bps=chance.choice((10, 10, 150)),
            valid_from=date(2020, 1, 1),
        )
        for currency in priced
    }  # fmt: skip
    is_choosy = not is_first and chance.random() < 0.2
    return BankTerms(
        operations=chance.choice(_PARTS) if is_choosy else (),
        weight=chance.choice((1, 1, 3)),
        not_found_is_final=chance.random() < 0.5,
        fees=fees,
    )
