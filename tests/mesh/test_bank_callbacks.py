"""What banks tell goes through the banks' sidecar, in each bank's own name and to one route."""

from __future__ import annotations

import asyncio
import sqlite3

import aiohttp
import pytest

from compose.launcher.stack import Stack
from pki.tls import client_context
from services.bank_simulator.app import BOOKS_FILE
from tests.mesh.enrolled_merchant import EnrolledMerchant

TOLD_S_MAX = 20.0


def _callbacks(stack: Stack, payment_id: str) -> list[tuple[int]]:
    """Whether each callback about a payment was taken, as its bank's own books have it."""
    found: list[tuple[int]] = []
    for bank in stack.mesh.parties_of("banks"):
        books = sqlite3.connect(f"file:{stack.layout.state / bank / BOOKS_FILE}?mode=ro", uri=True)
        found += books.execute(
            "select taken from callback where instr(cast(body as text), ?) > 0", (payment_id,)
        ).fetchall()
        books.close()
    return found


async def _post(stack: Stack, caller: str, path: str) -> int:
    address = stack.places.addresses["banks.ingress"]
    expect = frozenset({stack.mesh.spiffe("banks-sidecar")})
    context = client_context(stack.places.identity(caller), expect=expect)
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    url = f"https://{address.host}:{address.port}{path}"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url, data=b"{}") as answer,
    ):
        return answer.status


async def test_a_payment_that_its_bank_decides_later_ends_by_a_callback(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    payment_id = await merchant.pay(instrument="tok_pending_then_confirmed")

    assert "succeeded" == await merchant.settled(payment_id)
    assert 1 == await merchant.charges(payment_id)
    async with asyncio.timeout(TOLD_S_MAX):
        while _callbacks(stack, payment_id) != [(1,)]:  # noqa: ASYNC110 - a row in somebody else's file
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("bank", ["bank-alpha", "bank-bravo", "card-network"])
async def test_a_bank_may_tell_and_nothing_else(stack: Stack, bank: str) -> None:
    assert 202 == await _post(stack, bank, "/v1/callbacks")
    assert 403 == await _post(stack, bank, "/v1/attempts")
    assert 403 == await _post(stack, bank, "/v1/settlement")


@pytest.mark.parametrize("caller", ["payments-sidecar", "supervisor"])
async def test_nobody_else_tells_in_a_banks_name(stack: Stack, caller: str) -> None:
    assert 403 == await _post(stack, caller, "/v1/callbacks")


async def test_a_caller_without_any_hop_to_the_banks_service_gets_no_connection(stack: Stack) -> None:
    with pytest.raises(aiohttp.ClientError):
        await _post(stack, "notifications", "/v1/callbacks")
