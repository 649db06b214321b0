"""Merchants' keys by number of uses, and wrapping anew while others keep and shred."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.vault.cell_keys import FileCellKeys, with_new_key
from services.vault.client import VaultClient
from services.vault.key_ring import KeyRing
from services.vault.messages import Resolution
from services.vault.rewrapping import rewrap
from tests.integration.vault.test_instruments_kept import card
from tests.integration.vault.vault_stack import VaultStack
from tests.unit.services.vault.number_samples import check_digit

NUMBERS = [f"400000910000{n:03}" + check_digit(f"400000910000{n:03}") for n in range(40)]


async def generations(stack: VaultStack) -> list[tuple[int, int, int]]:
    rows = await stack.query("select generation, cell_key, uses from vault.merchant_key order by generation")
    return [tuple(row) for row in rows]


async def test_a_merchants_key_wraps_as_often_as_its_limit_says_and_old_ones_still_open(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = [await gateway.keep(card(number=number)) for number in NUMBERS[:3]]
    async with stack.store() as store:
        ring = KeyRing(store, FileCellKeys(stack.key_file), uses_max=3)

        await ring.keys_of(["mer_eu_one"])

    await gateway.keep(card(number=NUMBERS[3]))
    found = await banks.resolve([Resolution(each.token, "att_eu_1") for each in kept])
    assert [(1, 1, 3), (2, 1, 1)] == await generations(stack)
    assert {"found"} == {each.outcome for each in found}


async def test_a_merchants_key_is_replaced_at_its_age(stack: VaultStack, gateway: VaultClient) -> None:
    await gateway.keep(card())
    await stack.query("update vault.merchant_key set made_at = made_at - $1::interval", timedelta(days=91))

    await gateway.keep(card(number=NUMBERS[0]))

    assert [1, 2] == [generation for generation, _, _ in await generations(stack)]


async def test_wrapping_anew_beside_a_busy_service_loses_nothing(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    tokens = [(await gateway.keep(card(number=number))).token for number in NUMBERS[:20]]
    stack.key_file.write_bytes(with_new_key(stack.key_file.read_bytes()))
    cell_keys = FileCellKeys(stack.key_file)

    async def keep_and_shred() -> None:
        tokens.extend([(await gateway.keep(card(number=number))).token for number in NUMBERS[20:]])
        for token in tokens[:5]:
            await gateway.shred("mer_eu_one", token)

    async with stack.store() as store:
        ring = KeyRing(store, cell_keys)
        await asyncio.gather(keep_and_shred(), rewrap(store, cell_keys, ring, lambda _: None))
        await rewrap(store, cell_keys, ring, lambda _: None)

    found = await banks.resolve([Resolution(token, "att_eu_1") for token in tokens])
    assert ["gone"] * 5 + ["found"] * 35 == [each.outcome for each in found]
    assert {2} == {version for _, version, _ in await generations(stack)}
    assert 1 == len(await generations(stack))


async def test_wrapping_anew_twice_finds_nothing_to_do(stack: VaultStack, gateway: VaultClient) -> None:
    await gateway.keep(card())
    stack.key_file.write_bytes(with_new_key(stack.key_file.read_bytes()))
    cell_keys = FileCellKeys(stack.key_file)
    async with stack.store() as store:
        ring = KeyRing(store, cell_keys)
        first = await rewrap(store, cell_keys, ring, lambda _: None)

        second = await rewrap(store, cell_keys, ring, lambda _: None)

    assert (1, 1) == (first.merchants, first.instruments)
    assert (0, 0) == (second.merchants, second.instruments)


@pytest.mark.parametrize("steps", [1, 2])
async def test_wrapping_anew_goes_on_where_it_was_killed(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient, steps: int
) -> None:
    kept = [await gateway.keep(card(f"mer_eu_{n}")) for n in range(3)]
    stack.key_file.write_bytes(with_new_key(stack.key_file.read_bytes()))
    cell_keys = FileCellKeys(stack.key_file)

    class Killed(Exception):
        pass

    def tell(done: object) -> None:
        nonlocal steps
        steps -= 1
        if steps == 0:
            raise Killed

    async with stack.store() as store:
        ring = KeyRing(store, cell_keys)
        with pytest.raises(Killed):
            await rewrap(store, cell_keys, ring, tell)
        await rewrap(store, cell_keys, ring, lambda _: None)

    found = await banks.resolve([Resolution(each.token, "att_eu_1") for each in kept])
    assert {"found"} == {each.outcome for each in found}
    assert {2} == {version for _, version, _ in await generations(stack)}
