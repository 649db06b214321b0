from __future__ import annotations

import asyncio

import pytest

from services.node.errors import HopUnknown
from services.node.redacted import Redacted
from services.vault.client import VaultClient
from services.vault.errors import InstrumentInvalid, InstrumentUnknown
from services.vault.messages import ITEMS_MAX, Card, Keeping, Resolution
from services.vault.tokens import belongs_to, is_token
from tests.integration.vault.vault_stack import VaultStack, free_port

VISA = "4242424242424242"
IBAN = "DE89370400440532013000"


def card(merchant: str = "mer_eu_one", number: str = VISA, month: int = 12, year: int = 2039) -> Keeping:
    return Keeping(merchant, card=Card(Redacted(number), month, year))


def iban(merchant: str = "mer_eu_one", number: str = IBAN) -> Keeping:
    return Keeping(merchant, iban=Redacted(number))


def asked(*tokens: str) -> list[Resolution]:
    return [Resolution(token, f"att_eu_{number}") for number, token in enumerate(tokens)]


async def test_a_card_becomes_a_token_and_the_banks_service_alone_gets_it_back(
    gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())

    [found] = await banks.resolve(asked(kept.token))
    assert ("card", "visa", "4242") == (kept.kind, kept.brand, kept.last4)
    assert is_token(kept.token)
    assert belongs_to(kept.token, "mer_eu_one")
    assert Card(Redacted(VISA), 12, 2039) == found.card
    with pytest.raises(HopUnknown, match="403"):
        await gateway.resolve(asked(kept.token))
    with pytest.raises(HopUnknown, match="403"):
        await banks.keep(card())


async def test_an_account_becomes_a_token_and_shows_its_country(
    gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(iban())

    [found] = await banks.resolve(asked(kept.token))
    assert ("iban", None, "DE", "3000") == (kept.kind, kept.brand, kept.country, kept.last4)
    assert Redacted(IBAN) == found.iban


async def test_the_same_number_has_one_token_for_a_merchant_and_another_one_for_another(
    gateway: VaultClient,
) -> None:
    told = await asyncio.gather(
        *(gateway.keep(card(merchant)) for merchant in ("mer_eu_one", "mer_eu_two") for _ in range(20))
    )

    tokens = [kept.token for kept in told]
    assert 1 == len(set(tokens[:20]))
    assert 1 == len(set(tokens[20:]))
    assert tokens[0] != tokens[20]


async def test_two_workers_agree_about_the_token(stack: VaultStack, gateway: VaultClient) -> None:
    second = VaultStack(stack.folder, stack.server, stack.database, free_port())
    async with second.running(), second.client("gateway") as other:
        numbers = ["4000009000000003", "4000009000000011", "5555555555554444", VISA]
        told = await asyncio.gather(
            *(each.keep(card(number=number)) for number in numbers for each in (gateway, other) * 5)
        )

    assert len(numbers) == len({kept.token for kept in told})


async def test_another_expiry_of_the_same_card_replaces_what_is_kept(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    first = await gateway.keep(card(month=1, year=2030))
    before = await stack.query("select wrapped, key_id from vault.data_key")

    second = await gateway.keep(card(month=2, year=2034))

    [found] = await banks.resolve(asked(second.token))
    after = await stack.query("select wrapped, key_id from vault.data_key")
    assert first.token == second.token
    assert Card(Redacted(VISA), 2, 2034) == found.card
    assert 1 == len(after)
    assert before[0]["key_id"] != after[0]["key_id"]


@pytest.mark.parametrize(
    ("keeping", "member"),
    [
        (card(number="4242424242424241"), "/card/number"),
        (card(number="424242424242"), "/card/number"),
        (card(month=13), "/card/expiry_month"),
        (card(year=2020), "/card/expiry_year"),
        (card(year=2099), "/card/expiry_year"),
        (iban(number="DE88370400440532013000"), "/iban"),
        (iban(number="XX89370400440532013000"), "/iban"),
        (iban(number="DE8937040044053201300"), "/iban"),
    ],
    ids=["check", "short", "month", "past", "far", "iban-check", "iban-country", "iban-length"],
)
async def test_what_is_no_instrument_is_refused_with_its_member(
    gateway: VaultClient, keeping: Keeping, member: str
) -> None:
    with pytest.raises(InstrumentInvalid) as refused:
        await gateway.keep(keeping)

    assert member == refused.value.member


async def test_a_merchant_sees_and_shreds_its_own_alone(gateway: VaultClient, banks: VaultClient) -> None:
    kept = await gateway.keep(card())

    for act in (gateway.show, gateway.shred):
        with pytest.raises(InstrumentUnknown):
            await act("mer_eu_two", kept.token)

    [found] = await banks.resolve(asked(kept.token))
    assert kept == await gateway.show("mer_eu_one", kept.token)
    assert "found" == found.outcome


async def test_a_whole_batch_is_resolved_in_order_with_what_is_gone_in_between(
    gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await asyncio.gather(gateway.keep(card()), gateway.keep(iban()))
    nobody = "tok_eu_0000000000000000000000000z"
    tokens = [kept[0].token, nobody, kept[1].token, kept[0].token] * (ITEMS_MAX // 4)

    found = await banks.resolve(asked(*tokens))

    assert tokens == [each.token for each in found]
    assert ["found", "gone", "found", "found"] * (ITEMS_MAX // 4) == [each.outcome for each in found]


async def test_each_resolution_is_in_the_journal_before_it_is_answered(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())
    nobody = "tok_eu_0000000000000000000000000z"

    await banks.resolve([Resolution(kept.token, "att_eu_1"), Resolution(nobody, "att_eu_2")])

    rows = await stack.query("select caller, token, about, outcome, at <= now() as past from vault.access")
    assert [
        ("banks", kept.token, "att_eu_1", "found", True),
        ("banks", nobody, "att_eu_2", "gone", True),
    ] == [tuple(row) for row in rows]
