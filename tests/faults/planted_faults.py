"""Observations made wrong on purpose (pure): a checker that says nothing about one of them checks nothing."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.client_log import Promise
from tests.faults.observed import MOVES_THE_MONEY, Movement, Observation, Recorded
from tests.faults.planted_second_acts import PlantedFault, planted_second_acts, spoiled_line


def planted_faults() -> list[PlantedFault]:
    """All of them; each needs a payment that succeeded, has a promise and was not given back."""
    return [
        PlantedFault("an-invented-202", "I4", _invented),
        PlantedFault("an-accepted-payment-is-lost", "I4", _lost),
        PlantedFault("a-repeat-got-other-bytes", "I4", _other_bytes),
        PlantedFault("one-key-made-two-payments", "I4", _two_of_one_key),
        PlantedFault("a-202-without-a-leaf", "I4", lambda seen: replace(seen, proven=frozenset())),
        PlantedFault("a-bundle-that-does-not-verify", "I4", _bad_bundle),
        PlantedFault("the-other-bank-moved-it-too", "I3", _moved_twice),
        PlantedFault("a-bank-moved-another-amount", "I3", _other_amount),
        PlantedFault("a-success-that-no-bank-knows", "I3", lambda seen: replace(seen, movements=())),
        PlantedFault("a-failure-that-a-bank-moved", "I3", lambda seen: _with_status(seen, "failed")),
        PlantedFault("a-payment-without-an-end", "I2", lambda seen: _with_status(seen, "unknown")),
        PlantedFault("a-payment-with-two-ends", "I2", _two_ends),
        PlantedFault("an-outcome-that-changed", "I2", _changed),
        PlantedFault("nobody-comes-back", "I2", lambda seen: replace(seen, forgotten=("a payment",))),
        PlantedFault("a-cent-too-much", "I1", lambda seen: replace(seen, imbalances=("posted balance",))),
        PlantedFault("a-webhook-that-never-came", "I9", lambda seen: replace(seen, webhooks={})),
        *planted_second_acts(),
    ]


def _succeeded(seen: Observation) -> tuple[str, Recorded]:
    promised = {promise.payment_id for promise in seen.promises}
    # Of one that was wholly given back the banks moved nothing on balance: it might as well have failed.
    kept = {i: p for i, p in seen.recorded.items() if p.status == "succeeded" and not p.refunded_minor}
    return next((i, p) for i, p in kept.items() if i in promised)


def _promise(seen: Observation) -> Promise:
    payment_id, _ = _succeeded(seen)
    return next(promise for promise in seen.promises if promise.payment_id == payment_id)


def _with(seen: Observation, payment: Recorded) -> Observation:
    payment_id, _ = _succeeded(seen)
    return replace(seen, recorded={**seen.recorded, payment_id: payment})


def _with_status(seen: Observation, status: str) -> Observation:
    return _with(seen, replace(_succeeded(seen)[1], status=status))


def _invented(seen: Observation) -> Observation:
    promise = replace(_promise(seen), payment_id="pay_eu_" + "0" * 26, idempotency_key="invented")
    return replace(seen, promises=[*seen.promises, promise])


def _lost(seen: Observation) -> Observation:
    payment_id, _ = _succeeded(seen)
    return replace(seen, recorded={i: p for i, p in seen.recorded.items() if i != payment_id})


def _other_bytes(seen: Observation) -> Observation:
    payment_id, _ = _succeeded(seen)
    status, body = seen.repeats[payment_id]
    return replace(seen, repeats={**seen.repeats, payment_id: (status, body + " ")})


def _two_of_one_key(seen: Observation) -> Observation:
    first, *others = seen.promises
    other = next(promise for promise in others if promise.payment_id != first.payment_id)
    again = replace(other, idempotency_key=first.idempotency_key)
    return replace(seen, promises=[again if promise is other else promise for promise in seen.promises])


def _bad_bundle(seen: Observation) -> Observation:
    return replace(seen, bundles={**seen.bundles, _succeeded(seen)[0]: "signature-wrong"})


def _line(seen: Observation) -> Movement:
    payment_id, _ = _succeeded(seen)
    return next(m for m in seen.movements if m.payment_id == payment_id and m.operation in MOVES_THE_MONEY)


def _moved_twice(seen: Observation) -> Observation:
    return replace(seen, movements=[*seen.movements, replace(_line(seen), bank="bank-other")])


def _other_amount(seen: Observation) -> Observation:
    line = _line(seen)
    return spoiled_line(seen, line, replace(line, amount_minor=line.amount_minor + 1))


def _two_ends(seen: Observation) -> Observation:
    return _with(seen, replace(_succeeded(seen)[1], terminal_events=2))


def _changed(seen: Observation) -> Observation:
    return replace(seen, earlier={**seen.earlier, _succeeded(seen)[0]: "failed"})
