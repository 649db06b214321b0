"""The typed caller of the vault: the gateway keeps and shreds, the banks service resolves.

Retry: none here; keeping and shredding again are harmless. Concurrency: any number of calls, bounded by the
hop client; the vault takes what comes together in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from services.node.errors import HopUnknown
from services.node.hop_client import HopClient
from services.node.redacted import MessageT, decoder_of
from services.vault.errors import InstrumentInvalid, InstrumentUnknown
from services.vault.messages import (
    INSTRUMENTS_PATH,
    RESOLUTIONS_PATH,
    Answers,
    Display,
    Invalid,
    Keeping,
    Owner,
    Resolution,
    Resolutions,
    Resolved,
    encode,
)

_displays = decoder_of(Display)
_invalids = decoder_of(Invalid)
_answers = decoder_of(Answers)


class VaultClient:
    """Asks over one started `HopClient` with the deadline of the contract.

    Every call raises `HopUnsent` or `HopUnknown` where there is no readable answer.
    """

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop

    async def keep(self, keeping: Keeping) -> Display:
        """Keep an instrument, or find it kept already.

        Raises:
            InstrumentInvalid: It cannot be kept.
        """
        answer = await self._hop.call("POST", INSTRUMENTS_PATH, encode(keeping))
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            invalid = _read(_invalids, answer.body)
            raise InstrumentInvalid(invalid.member, invalid.detail)
        return _display(answer.status, answer.body)

    async def show(self, merchant_id: str, token: str) -> Display:
        """Return what may be shown of a merchant's instrument.

        Raises:
            InstrumentUnknown: The merchant has none of this token.
        """
        return await self._about("display", merchant_id, token)

    async def shred(self, merchant_id: str, token: str) -> Display:
        """Destroy a merchant's instrument for ever, or find it destroyed already.

        Raises:
            InstrumentUnknown: The merchant has none of this token.
        """
        return await self._about("shred", merchant_id, token)

    async def resolve(self, items: Sequence[Resolution]) -> list[Resolved]:
        """Return what tokens stand for, in their order; at most `ITEMS_MAX`."""
        answer = await self._hop.call("POST", RESOLUTIONS_PATH, encode(Resolutions(list(items))))
        if answer.status != HTTPStatus.OK:
            raise HopUnknown(f"status {answer.status}")
        results = _read(_answers, answer.body).results
        if [result.token for result in results] != [item.token for item in items]:
            raise HopUnknown("the answer is about something else")
        return results

    async def _about(self, act: str, merchant_id: str, token: str) -> Display:
        answer = await self._hop.call("POST", f"{INSTRUMENTS_PATH}/{token}/{act}", encode(Owner(merchant_id)))
        display = _display(answer.status, answer.body)
        if display.token != token:
            raise HopUnknown("the answer is about something else")
        return display


def _display(status: int, body: bytes) -> Display:
    if status == HTTPStatus.NOT_FOUND and b'"instrument-unknown"' in body:
        raise InstrumentUnknown("there is no such instrument")
    if status != HTTPStatus.OK:
        raise HopUnknown(f"status {status}")
    return _read(_displays, body)


def _read(decoder: msgspec.json.Decoder[MessageT], body: bytes) -> MessageT:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not chained: what was read may be part of what is secret.
        raise HopUnknown("the answer is not one of ours") from None
