"""Every test instrument of the README through the whole mesh, and what is left of a number anywhere."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest

from compose.launcher.release import checkout_root
from compose.launcher.stack import Stack
from services.bank_simulator.specimens import SPECIMENS, Specimen, page
from tests.mesh.enrolled_merchant import EnrolledMerchant, send_until_answered

AT_ONCE = 6  # Of the specimens; each reads its three payments all the time.
WAIT_S_MAX = 90.0  # `found_late` is asked about several times before it is found.


async def keep(merchant: EnrolledMerchant, members: dict[str, object]) -> str:
    body = json.dumps({**members, "blind": secrets.token_urlsafe(24)}).encode()
    request = merchant.wire.sign(merchant.key, "POST", "/v1/instruments", body, secrets.token_hex(16))
    exchange = await send_until_answered(merchant, request)
    answer: dict[str, Any] = json.loads(exchange.response.body)
    assert exchange.response.status == 201, answer
    return str(answer["id"])


def card(number: str) -> dict[str, object]:
    return {"card": {"number": number, "expiry_month": 12, "expiry_year": 2039}}


async def ends(merchant: EnrolledMerchant, instrument: str, amount: int) -> str:
    body = merchant.payment_body(instrument=instrument, amount=amount)
    exchange = await send_until_answered(merchant, merchant.sign_payment(body))
    payment_id = json.loads(exchange.response.body)["id"]
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            path = f"/v1/payments/{payment_id}"
            read = await send_until_answered(merchant, merchant.wire.sign(merchant.key, "GET", path))
            status = json.loads(read.response.body)["status"]
            if status in ("succeeded", "failed"):
                return str(status)
            await asyncio.sleep(0.2)


def test_the_table_of_the_readme_is_what_the_banks_do() -> None:
    assert page() in (checkout_root() / "README.md").read_text(encoding="utf-8")


async def test_every_specimen_ends_as_its_table_says_by_token_card_and_account(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def walk(specimen: Specimen) -> tuple[str, ...]:
        async with room:
            tokens = [
                specimen.token,
                await keep(merchant, card(specimen.card)),
                await keep(merchant, {"iban": specimen.iban}),
            ]
            return tuple(await asyncio.gather(*(ends(merchant, token, 1000) for token in tokens)))

    found = await asyncio.gather(*(walk(specimen) for specimen in SPECIMENS))

    assert {each.token: (each.ends,) * 3 for each in SPECIMENS} == {
        each.token: ended for each, ended in zip(SPECIMENS, found, strict=True)
    }


@pytest.mark.parametrize("number", ["4929000000006", "6011000990139424", "2223003122003222"])
async def test_any_other_valid_number_is_charged(merchant: EnrolledMerchant, number: str) -> None:
    assert "succeeded" == await ends(merchant, await keep(merchant, card(number)), 1000)
