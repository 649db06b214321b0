"""A bank that was taken out of the configuration while it has something open."""

from __future__ import annotations

from services.payments import counters
from services.payments.checks import Checks
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import BANKS
from tests.integration.payments.worker_surroundings import accepted


def _undriven() -> float:
    return float(counters.CHECK_ROWS.labels("undriven")._value.get())


async def test_what_is_open_at_a_bank_that_is_not_in_the_configuration_is_counted(
    paying: PaymentWorld,
) -> None:
    await accepted(paying, 3, accounts=1)
    await paying.submit()
    left, kept = BANKS[0], list(BANKS[1:])

    assert {left: 3} == await paying.store.undriven(kept)
    assert {} == await paying.store.undriven(BANKS)
    await Checks(paying.store, kept).check_open()
    assert 3 == _undriven()
    await paying.answer_all()
    await Checks(paying.store, kept).check_open()
    assert 0 == _undriven()
    assert {} == await paying.store.undriven(kept)
