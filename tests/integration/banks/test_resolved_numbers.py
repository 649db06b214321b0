"""Tokens of the vault on their way to a bank: resolved for what takes money, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.bank_simulator.specimens import SPECIMENS
from services.node.redacted import Redacted
from services.vault.client import VaultClient
from services.vault.messages import Card, Keeping
from tests.integration.banks.bank_parts import RAILS, Parts, attempt
from tests.integration.postgres_server import PostgresServer
from tests.integration.vault.vault_stack import VaultStack

BANKS = sorted(RAILS)
DECLINED = next(each for each in SPECIMENS if each.token == "tok_declined_insufficient_funds")
BOUNCES = next(each for each in SPECIMENS if each.token == "tok_refund_bounces")


@pytest.fixture
async def vault(parts: Parts, postgres: PostgresServer, database: str) -> AsyncIterator[VaultStack]:
    stack = VaultStack.create(parts.folder, postgres, database, parts.ports["vault"])
    async with stack.running():
        yield stack


@pytest.fixture
async def keeper(vault: VaultStack) -> AsyncIterator[VaultClient]:
    async with vault.client("gateway") as client:
        yield client


async def kept(keeper: VaultClient, number: str) -> str:
    card = Card(Redacted(number), 12, 2039)
    return (await keeper.keep(Keeping("mer_eu_one", card=card))).token


@pytest.mark.parametrize("bank", BANKS)
async def test_a_bank_gets_the_number_and_books_no_digit_of_it(
    parts: Parts, keeper: VaultClient, bank: str
) -> None:
    token = await kept(keeper, "5555555555554444")
    declined = await kept(keeper, DECLINED.card)

    charged = await parts.client.send(attempt(1, token, bank=bank))
    refused = await parts.client.send(attempt(2, declined, bank=bank))

    written = b"".join(file.read_bytes() for file in (parts.folder / bank).iterdir() if file.is_file())
    assert "confirmed" == charged.outcome
    assert ("declined", "insufficient_funds") == (refused.outcome, refused.decline_code)
    assert b"5555555555554444" not in written
    assert DECLINED.card.encode() not in written


async def test_an_account_number_goes_to_a_bank_and_not_to_a_card_network(
    parts: Parts, keeper: VaultClient
) -> None:
    token = (await keeper.keep(Keeping("mer_eu_one", iban=Redacted(DECLINED.iban)))).token

    at_bank = await parts.client.send(attempt(1, token))
    at_network = await parts.client.send(attempt(2, token, bank="card-network"))

    assert ("declined", "insufficient_funds") == (at_bank.outcome, at_bank.decline_code)
    assert ("unsent", "a card network has no words for an account number") == (
        at_network.outcome, at_network.alarm
    )  # fmt: skip


@pytest.mark.parametrize("bank", BANKS)
async def test_a_refund_needs_no_number_and_behaves_as_what_was_charged(
    parts: Parts, vault: VaultStack, keeper: VaultClient, bank: str
) -> None:
    token = await kept(keeper, BOUNCES.card)
    charged = await parts.client.send(attempt(1, token, bank=bank))
    await keeper.shred("mer_eu_one", token)

    refunded = await parts.client.send(
        attempt(2, token, bank=bank, operation="refund", original_reference=charged.bank_reference)
    )

    rows = await vault.query("select about from vault.access")
    assert "confirmed" == refunded.outcome
    assert ["att_eu_1"] == [row["about"] for row in rows]


async def test_what_was_shredded_is_unsent_with_an_alarm(parts: Parts, keeper: VaultClient) -> None:
    token = await kept(keeper, "4242424242424242")
    await keeper.shred("mer_eu_one", token)

    answer = await parts.client.send(attempt(1, token))

    assert ("unsent", "the instrument is gone in the vault") == (answer.outcome, answer.alarm)
    assert [] == parts.ledger("bank-alpha")


async def test_without_the_vault_tokens_of_the_banks_work_and_its_own_are_unsent(parts: Parts) -> None:
    own = await parts.client.send(attempt(1, "tok_visa_ok"))
    vaults = await parts.client.send(attempt(2, "tok_eu_0000000000000000000000000z"))

    assert "confirmed" == own.outcome
    assert ("unsent", None) == (vaults.outcome, vaults.alarm)


async def test_many_at_once_are_one_question(parts: Parts, vault: VaultStack, keeper: VaultClient) -> None:
    token = await kept(keeper, "4242424242424242")

    answers = await asyncio.gather(*(parts.client.send(attempt(n, token)) for n in range(50)))

    rows = await vault.query("select count(*) as asked, count(distinct at) as moments from vault.access")
    assert {"confirmed"} == {answer.outcome for answer in answers}
    assert 50 == rows[0]["asked"]
