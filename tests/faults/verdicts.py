"""Judge what was seen from outside (pure): every way in which an invariant does not hold is one violation.

I1 money is conserved. I2 each payment has one outcome, which stays. I3 the banks moved at most once, and what
the record says. I4 each 202 has evidence, and a repeat gets the same bytes. I9 every event was delivered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.faults.observed import MOVES_THE_MONEY, OUTCOMES, TAKES_BACK, Movement, Observation, Violation
from tests.faults.second_acts import judge_second_acts


def judge(seen: Observation) -> list[Violation]:
    """List every violation."""
    return [
        *(Violation("I1", "the ledger", row) for row in seen.imbalances),
        *_judge_outcomes(seen),
        *_judge_banks(seen),
        *judge_second_acts(seen),
        *_judge_promises(seen),
        *_judge_webhooks(seen),
    ]


def _judge_outcomes(seen: Observation) -> Iterator[Violation]:
    for row in seen.forgotten:
        yield Violation("I2", "the reminders", row)
    for payment_id, payment in seen.recorded.items():
        if payment.status not in OUTCOMES:
            yield Violation("I2", payment_id, f"is still {payment.status}")
        if payment.terminal_events != 1:
            yield Violation("I2", payment_id, f"has {payment.terminal_events} events that end it")
    for subject_id, status in seen.earlier.items():
        now = seen.recorded.get(subject_id) or seen.refunds.get(subject_id)
        if now is None or now.status != status:
            yield Violation("I2", subject_id, f"was {status} and is {now.status if now else 'gone'}")


def _judge_banks(seen: Observation) -> Iterator[Violation]:
    moved: dict[str, list[Movement]] = defaultdict(list)
    given_back: dict[str, int] = defaultdict(int)
    for movement in seen.movements:
        if movement.operation in MOVES_THE_MONEY:
            moved[movement.payment_id].append(movement)
        elif movement.operation in TAKES_BACK:
            given_back[movement.payment_id] += movement.amount_minor
        elif movement.operation == "bounced":
            given_back[movement.payment_id] -= movement.amount_minor
    for payment_id in moved.keys() - seen.recorded.keys():
        yield Violation("I3", payment_id, "was moved by a bank and is not in the record")
    for payment_id, payment in seen.recorded.items():
        lines = moved[payment_id]
        if len(lines) > 1:
            banks = ", ".join(sorted(line.bank for line in lines))
            yield Violation("I3", payment_id, f"was moved {len(lines)} times: {banks}")
        whole = payment.capture_method == "automatic"
        for line in lines:
            is_right = line.amount_minor == payment.amount_minor if whole else line.operation == "capture"
            if not is_right or line.currency != payment.currency:
                yield Violation("I3", payment_id, f"was moved as {line.amount_minor} {line.currency}")
        # Money that was paid out late cannot be asked back by itself; what was collected late can.
        went_out = payment.kind == "payout" and (payment.status == "succeeded" or payment.left_to_operator)
        expected = payment.amount_minor if went_out else 0
        if payment.kind == "collect" and payment.status == "succeeded":
            expected = payment.captured_minor - payment.refunded_minor
        net = sum(line.amount_minor for line in lines) - given_back[payment_id]
        if payment.status in OUTCOMES and net != expected:
            what = f"{payment.kind} is {payment.status}, and the banks moved {net}"
            yield Violation("I3", payment_id, what)


def _judge_promises(seen: Observation) -> Iterator[Violation]:
    keys: dict[str, str] = {}
    for promise in seen.promises:
        payment_id = promise.payment_id
        if keys.setdefault(promise.idempotency_key, payment_id) != payment_id:
            yield Violation("I4", payment_id, f"shares its key with {keys[promise.idempotency_key]}")
        if promise.is_payment and payment_id not in seen.recorded:
            yield Violation("I4", payment_id, "was accepted and is not in the record")
        if payment_id not in seen.proven:
            yield Violation("I4", payment_id, "has no leaf under a signed checkpoint")
        if seen.repeats.get(payment_id) != (promise.status, promise.response_body):
            status, body = seen.repeats.get(payment_id, (0, "nothing"))
            yield Violation("I4", payment_id, f"a repeat got {status}: {body[:200]}")
    for payment_id, reason in seen.bundles.items():
        if reason:
            yield Violation("I4", payment_id, f"its evidence does not verify: {reason}")


def _judge_webhooks(seen: Observation) -> Iterator[Violation]:
    for payment_id, payment in seen.recorded.items():
        missing = seen.events.get(payment_id, frozenset()) - seen.webhooks.get(payment_id, frozenset())
        if missing:
            yield Violation("I9", payment_id, f"the receiver never got its events {sorted(missing)}")
        if payment.undelivered:
            yield Violation("I9", payment_id, f"{payment.undelivered} deliveries are open")
