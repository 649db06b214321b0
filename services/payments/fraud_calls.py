"""Ask the fraud service. Implements `record.Screener` over its typed caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from services.fraud.client import FraudClient
from services.fraud.messages import Screening
from services.payments.machine.events import Asking, Screened


class FraudCalls:
    """Translates between the engine's words and the fraud service's."""

    def __init__(self, client: FraudClient) -> None:
        self._client = client

    async def screen(self, askings: Sequence[Asking]) -> list[Screened]:
        """Verdicts for the payments it decided about; see `record.Screener`.

        Raises:
            HopUnsent, HopUnknown: No answer.
        """
        verdicts = await self._client.screen([_screening_of(asking) for asking in askings])
        return [
            Screened(
                payment_id=verdict.payment_id,
                verdict=verdict.verdict,
                rule_pack=verdict.rule_pack,
                inputs_digest=verdict.inputs_digest,
                reasons=verdict.reasons,
            )
            for verdict in verdicts
        ]


def _screening_of(asking: Asking) -> Screening:
    return Screening(
        payment_id=asking.payment_id,
        account_id=asking.account_id,
        merchant_id=asking.merchant_id,
        kind=cast("Literal['collect', 'payout']", asking.kind),
        amount_minor=asking.amount_minor,
        currency=asking.currency,
        instrument=asking.instrument,
        accepted_at=asking.accepted_at,
    )
