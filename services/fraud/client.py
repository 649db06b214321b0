"""The typed caller of the fraud service.

Consistency: a verdict is final; asking again returns the same one and counts nothing twice. Retry: none here;
the caller's reminder asks again. Concurrency: any number of calls, bounded by the hop client.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from services.fraud.messages import SCREENINGS_PATH, Screening, Screenings, Verdict, Verdicts
from services.node.errors import HopUnknown
from services.node.hop_client import HopClient

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Verdicts, strict=True)


class FraudClient:
    """Asks over one started `HopClient` with the deadline `SCREENING_CALL_S_MAX`."""

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop

    async def screen(self, items: Sequence[Screening]) -> list[Verdict]:
        """Ask about up to `ITEMS_MAX` payments; one that has no verdict in the answer has to be held.

        Raises:
            HopUnsent: The question certainly did not leave.
            HopUnknown: No readable answer, or one about something else.
        """
        answer = await self._hop.call("POST", SCREENINGS_PATH, _encoder.encode(Screenings(list(items))))
        if answer.status != HTTPStatus.OK:
            raise HopUnknown(f"status {answer.status}")
        try:
            verdicts = _decoder.decode(answer.body).verdicts
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise HopUnknown("the answer is not one of ours") from fault
        told = [verdict.payment_id for verdict in verdicts]
        if len(set(told)) < len(told) or not set(told) <= {item.payment_id for item in items}:
            raise HopUnknown("the answer is about something else")
        return verdicts
