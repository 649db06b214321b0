"""What is shredded can be read by nobody: not by the service, not from a copy of its tables."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.node.redacted import Redacted
from services.vault.cell_keys import FileCellKeys, parse_keys, with_new_key, without_key
from services.vault.client import VaultClient
from services.vault.envelope import (
    place_of_data_key,
    place_of_instrument,
    place_of_merchant_key,
    unseal,
)
from services.vault.errors import SealBroken, StillInUse
from services.vault.key_ring import KeyRing
from services.vault.messages import Resolution
from services.vault.rewrapping import Rewrapped, require_unused, rewrap
from tests.integration.vault.test_instruments_kept import VISA, card, iban
from tests.integration.vault.vault_stack import VaultStack

TABLES = ("instrument", "data_key", "merchant_key", "fingerprint_key")
Backup = dict[str, list[dict[str, Any]]]


async def back_up(stack: VaultStack, *tables: str) -> Backup:
    return {
        table: [dict(row) for row in await stack.query(f"select * from vault.{table}")] for table in tables
    }


def opened(backup: Backup, cell_keys: dict[int, bytes]) -> list[bytes]:
    """Everything in a copy of the tables that opens with these cell keys."""
    found = []
    for instrument in backup["instrument"]:
        for key in backup.get("data_key", []):
            for merchant in backup.get("merchant_key", []):
                try:
                    found.append(_open(instrument, key, merchant, cell_keys))
                except (SealBroken, KeyError):
                    continue
    return found


def _open(instrument: Any, key: Any, merchant: Any, cell_keys: dict[int, bytes]) -> bytes:
    owner, generation, version = merchant["merchant_id"], merchant["generation"], merchant["cell_key"]
    place = place_of_merchant_key(owner, generation, version)
    merchant_key = unseal(cell_keys[version], merchant["wrapped"], place)
    place = place_of_data_key(key["token"], owner, generation, key["key_id"])
    data_key = unseal(merchant_key, key["wrapped"], place)
    place = place_of_instrument(instrument["token"], owner, instrument["kind"], key["key_id"])
    return unseal(data_key, instrument["sealed"] or b"", place)


async def rewrapped(stack: VaultStack) -> Rewrapped:
    async with stack.store() as store:
        cell_keys = FileCellKeys(stack.key_file)
        return await rewrap(store, cell_keys, KeyRing(store, cell_keys), lambda _: None)


async def test_a_copy_of_the_tables_opens_while_nothing_is_shredded(
    stack: VaultStack, gateway: VaultClient
) -> None:
    """The control of the tests below: they look in the right place."""
    await gateway.keep(card())
    backup = await back_up(stack, *TABLES)

    [number] = opened(backup, dict(parse_keys(stack.key_file.read_bytes())))

    assert VISA.encode() in number


async def test_after_shredding_the_service_has_nothing_and_says_so(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())

    shredded = await gateway.shred("mer_eu_one", kept.token)
    again = await gateway.shred("mer_eu_one", kept.token)

    [found] = await banks.resolve([Resolution(kept.token, "att_eu_1")])
    rows = await back_up(stack, "instrument", "data_key")
    assert ("gone", None, None) == (found.outcome, found.card, found.iban)
    assert shredded == again == await gateway.show("mer_eu_one", kept.token)
    assert (None, None) == (shredded.last4, shredded.brand)
    assert [] == rows["data_key"]
    assert [] == [name for name in ("sealed", "key_id", "fingerprint", "contents", "last4", "brand")
                  if rows["instrument"][0][name] is not None]  # fmt: skip


async def test_a_copy_of_the_instruments_from_before_is_useless_at_once(
    stack: VaultStack, gateway: VaultClient
) -> None:
    kept = await gateway.keep(card())
    backup = await back_up(stack, "instrument")
    await gateway.shred("mer_eu_one", kept.token)
    await gateway.keep(iban())

    today = await back_up(stack, "data_key", "merchant_key")

    cell_keys = dict(parse_keys(stack.key_file.read_bytes()))
    assert [] == opened(backup | today, cell_keys)
    # Nor do the keys themselves, tried one by one without a place.
    for key in (*cell_keys.values(), *(row["key_id"] * 2 for row in today["data_key"])):
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(
                backup["instrument"][0]["sealed"][:12], backup["instrument"][0]["sealed"][12:], b""
            )


async def test_a_copy_of_every_table_is_useless_once_its_cell_key_is_retired(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    gone, stays = await gateway.keep(card()), await gateway.keep(iban())
    backup = await back_up(stack, *TABLES)
    await gateway.shred("mer_eu_one", gone.token)
    stack.key_file.write_bytes(with_new_key(stack.key_file.read_bytes()))

    done = await rewrapped(stack)

    async with stack.store() as store:
        await require_unused(store, 1)
    stack.key_file.write_bytes(without_key(stack.key_file.read_bytes(), 1))
    today = await back_up(stack, *TABLES)
    cell_keys = dict(parse_keys(stack.key_file.read_bytes()))
    [found] = await banks.resolve([Resolution(stays.token, "att_eu_1")])
    assert Rewrapped(merchants=1, instruments=1) == done
    assert [] == opened(backup, cell_keys)
    # Not with all of today's keys beside the copy of then, either.
    assert [] == opened(backup | {"merchant_key": backup["merchant_key"] + today["merchant_key"]}, cell_keys)
    assert "found" == found.outcome
    assert stays.token == (await gateway.keep(iban())).token


async def test_a_cell_key_that_wraps_something_is_not_retired(
    stack: VaultStack, gateway: VaultClient
) -> None:
    await gateway.keep(card())
    stack.key_file.write_bytes(with_new_key(stack.key_file.read_bytes()))

    async with stack.store() as store:
        with pytest.raises(StillInUse, match="rewrap"):
            await require_unused(store, 1)


async def test_a_merchant_is_shredded_whole_and_nobody_else_with_it(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    mine = [await gateway.keep(card()), await gateway.keep(iban())]
    theirs = await gateway.keep(card("mer_eu_two"))

    async with stack.store() as store:
        gone = await store.shred("mer_eu_one", None)

    found = await banks.resolve([Resolution(kept.token, "att_eu_1") for kept in (*mine, theirs)])
    left = await back_up(stack, "merchant_key", "fingerprint_key", "data_key")
    anew = await gateway.keep(card())
    assert 2 == gone
    assert ["gone", "gone", "found"] == [each.outcome for each in found]
    assert {"mer_eu_two"} == {row["merchant_id"] for rows in left.values() for row in rows}
    assert anew.token not in [kept.token for kept in mine]


async def test_a_row_that_is_moved_or_changed_is_unreadable_and_not_gone(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    """Whoever writes the tables can lose numbers, and cannot make one merchant's appear as another's."""
    mine, theirs = await gateway.keep(card()), await gateway.keep(card("mer_eu_two", "5555555555554444"))
    await stack.query(
        "update vault.instrument i set sealed = o.sealed, key_id = o.key_id from vault.instrument o"
        " where i.token = $1 and o.token = $2", mine.token, theirs.token)  # fmt: skip
    await stack.query(
        "update vault.instrument set sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) where token = $1",  # noqa: E501 - see above
        theirs.token,
    )

    found = await banks.resolve([Resolution(kept.token, "att_eu_1") for kept in (mine, theirs)])

    assert [("unreadable", None)] * 2 == [(each.outcome, each.card) for each in found]


async def test_a_missing_cell_key_is_an_alarm_and_no_new_key(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())
    before = stack.key_file.read_bytes()
    stack.key_file.write_bytes(without_key(with_new_key(before), 1))

    [found] = await banks.resolve([Resolution(kept.token, "att_eu_1")])

    assert "unreadable" == found.outcome
    stack.key_file.write_bytes(before)
    [found] = await banks.resolve([Resolution(kept.token, "att_eu_1")])
    assert Redacted(VISA) == (found.card and found.card.number)
