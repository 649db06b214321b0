"""Instruments: a number in, a token out; the number goes to the vault and nowhere else.

The vault acts before the command is recorded. Both of its acts are harmless when repeated: the same number of
a merchant has the same token, and what is shredded stays so. So a crash in between leaves nothing to mend.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.instrument_orders import ROUTE, InstrumentOrder, NoMembers, parse_order
from gateway.api.instrument_shapes import CardShown, IbanShown, Instrument
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.replies import json_reply, object_id_of
from gateway.errors import CellUnavailable, FieldFault, NotFound, ValidationFailed
from services.node.errors import HopUnknown, HopUnsent
from services.node.redacted import Redacted
from services.vault.client import VaultClient
from services.vault.errors import InstrumentInvalid, InstrumentUnknown
from services.vault.messages import Card, Display, Keeping
from services.vault.tokens import belongs_to

_ITEM = ROUTE + "/{instrument_id}"
CREATE = Operation(
    name="createInstrument", method="POST", path=ROUTE, scope=Scope.INSTRUMENTS, body=InstrumentOrder,
    summary="Keep a card or an IBAN in the vault; the same number has the same token",
    answers={201: Instrument}, problems=frozenset({"state_conflict"}),
)  # fmt: skip
READ = Operation(
    name="readInstrument", method="GET", path=_ITEM, scope=Scope.READ,
    summary="What may be shown of an instrument", answers={200: Instrument},
    problems=frozenset({"not_found"}),
)  # fmt: skip
DELETE = Operation(
    name="deleteInstrument", method="DELETE", path=_ITEM, scope=Scope.INSTRUMENTS, body=NoMembers,
    summary="Destroy an instrument's key, and with it the number, for ever",
    answers={200: Instrument}, problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (CREATE, READ, DELETE)
_ResultT = TypeVar("_ResultT")


class InstrumentHandlers:
    """The handlers of /v1/instruments.

    Args:
        vault: keeps, shows and shreds.
        performing: records commands once per idempotency key, without their bodies.
        cell: whose vault it is.
    """

    def __init__(self, *, vault: VaultClient, performing: Performing, cell: str) -> None:
        self._vault = vault
        self._performing = performing
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CREATE, self.create), (READ, self.read), (DELETE, self.delete))

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/instruments."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        order = parse_order(verified.request.body or b"")
        repeat = await self._performing.repeat(exchange)
        if repeat is not None:
            return repeat
        try:
            display = await _asked(self._vault.keep(_keeping(known.merchant_id, order)))
        except InstrumentInvalid as fault:
            raise ValidationFailed(
                "the instrument cannot be kept", FieldFault(fault.member, str(fault))
            ) from None
        return await self._performing.perform(
            exchange,
            Effect(
                name="instrument_kept",
                arguments={"token": display.token},
                resource_id=display.token,
                body=_shown(display),
                status=HTTPStatus.CREATED,
                keep_request_body=False,
            ),
        )

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/instruments/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        token = self._token_of(request, known.merchant_id)
        try:
            display = await _asked(self._vault.show(known.merchant_id, token))
        except InstrumentUnknown:
            raise NotFound("there is no such instrument") from None
        return json_reply(msgspec.json.encode(_shown(display)))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/instruments/{id}."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        parse_command(verified.request.body or b"", NoMembers)
        token = self._token_of(request, known.merchant_id)
        repeat = await self._performing.repeat(exchange)
        if repeat is not None:
            return repeat
        try:
            display = await _asked(self._vault.shred(known.merchant_id, token))
        except InstrumentUnknown:
            raise NotFound("there is no such instrument") from None
        return await self._performing.perform(
            exchange,
            Effect(
                name="instrument_shredded",
                arguments={"token": token},
                resource_id=token,
                body=_shown(display),
                status=HTTPStatus.OK,
            ),
        )

    def _token_of(self, request: web.Request, merchant_id: str) -> str:
        token = object_id_of(request, "tok", self._cell)
        if not belongs_to(token, merchant_id):
            raise NotFound("there is no such instrument")
        return token


def require_own(instrument: str, merchant_id: str) -> None:
    """Refuse a payment by an instrument of another merchant; the token itself says whose it is.

    Args:
        instrument: a token of a vault.

    Raises:
        ValidationFailed: it is not this merchant's.
    """
    if not belongs_to(instrument, merchant_id):
        raise ValidationFailed(
            "there is no such instrument", FieldFault("/instrument", "a token of an instrument of yours")
        )


async def _asked(call: Awaitable[_ResultT]) -> _ResultT:
    try:
        return await call
    except (HopUnsent, HopUnknown):
        raise CellUnavailable("the vault is out of reach: send the same request again") from None


def _keeping(merchant_id: str, order: InstrumentOrder) -> Keeping:
    if order.card is not None:
        card = order.card
        return Keeping(merchant_id, card=Card(Redacted(card.number), card.expiry_month, card.expiry_year))
    assert order.iban is not None
    return Keeping(merchant_id, iban=Redacted(order.iban))


def _shown(display: Display) -> Instrument:
    last4 = display.last4 or ""
    return Instrument(
        id=display.token,
        type=display.kind,
        status="active" if display.shredded_at is None else "deleted",
        card=None if display.brand is None else CardShown(brand=display.brand, last4=last4),
        iban=None if display.country is None else IbanShown(country=display.country, last4=last4),
        created_at=_time(display.created_at),
        deleted_at=None if display.shredded_at is None else _time(display.shredded_at),
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
