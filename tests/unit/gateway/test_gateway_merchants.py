from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from gateway.access.merchants import (
    KEY_AGE_S_MAX,
    KEY_AGE_UNHEARD_S_MAX,
    AccountDirectory,
    KeyDirectory,
    Memory,
)
from gateway.api.operations import ALL_SCOPES
from gateway.errors import CellUnavailable
from gateway.store.registry import KnownKey
from signing import SigningKey

KEY = SigningKey.generate("ed25519").verifying_key
KNOWN = KnownKey(KEY, "mer_eu_1", "eu", "2026-10-01", revoked=False, scopes=ALL_SCOPES)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Record:
    """A registry in memory that keeps the promise of the real one, and counts its calls."""

    def __init__(self, *known: KnownKey) -> None:
        self.known = {each.key.key_id: each for each in known}
        self.calls: list[list[str]] = []
        self.away = False

    async def find_keys(self, key_ids: Sequence[str]) -> Sequence[KnownKey]:
        self.calls.append(list(key_ids))
        await asyncio.sleep(0)
        if self.away:
            raise CellUnavailable("away")
        return [self.known[key_id] for key_id in key_ids if key_id in self.known]


def heard(directory: KeyDirectory, clock: Clock) -> KeyDirectory:
    directory.hear_from_now()
    directory.hear_until(clock.now + 1000)
    return directory


async def test_a_key_is_looked_up_once_within_its_time_and_again_after_it() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = heard(KeyDirectory(record.find_keys, clock), clock)
    found = await directory.find(KEY.key_id)
    clock.now += KEY_AGE_S_MAX / 2
    await directory.find(KEY.key_id)
    clock.now += KEY_AGE_S_MAX / 2

    await directory.find(KEY.key_id)

    assert found is not None
    assert (KNOWN, True) == (found.value, found.current)
    assert [[KEY.key_id]] * 2 == record.calls


async def test_a_revocation_counts_as_soon_as_the_time_is_up() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = KeyDirectory(record.find_keys, clock)
    await directory.find(KEY.key_id)
    record.known[KEY.key_id] = replace(KNOWN, revoked=True)
    clock.now += KEY_AGE_S_MAX

    found = await directory.find(KEY.key_id)

    assert found is not None
    assert found.value.revoked is True


async def test_while_revocations_are_not_heard_a_key_is_trusted_for_less_than_a_second() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = KeyDirectory(record.find_keys, clock)
    await directory.find(KEY.key_id)
    clock.now += KEY_AGE_UNHEARD_S_MAX

    await directory.find(KEY.key_id)

    assert 2 == len(record.calls)
    assert KEY_AGE_UNHEARD_S_MAX < 1.0


async def test_a_proof_of_hearing_lets_a_key_be_trusted_until_it_runs_out() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = heard(KeyDirectory(record.find_keys, clock), clock)
    await directory.find(KEY.key_id)
    directory.hear_until(clock.now + 2.0)

    clock.now += 1.9
    await directory.find(KEY.key_id)
    within = len(record.calls)
    clock.now += 0.1
    await directory.find(KEY.key_id)

    assert (1, 2) == (within, len(record.calls))


async def test_what_was_remembered_before_hearing_began_is_not_trusted_because_of_it() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = KeyDirectory(record.find_keys, clock)
    await directory.find(KEY.key_id)
    clock.now += 0.1
    directory.hear_from_now()
    directory.hear_until(clock.now + 100)
    clock.now += KEY_AGE_UNHEARD_S_MAX

    await directory.find(KEY.key_id)

    assert 2 == len(record.calls)


async def test_a_revocation_that_is_told_counts_at_once() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = heard(KeyDirectory(record.find_keys, clock), clock)
    await directory.find(KEY.key_id)
    record.known[KEY.key_id] = replace(KNOWN, revoked=True)

    directory.forget(KEY.key_id)
    found = await directory.find(KEY.key_id)

    assert found is not None
    assert found.value.revoked is True


async def test_a_revocation_that_is_told_while_a_look_up_is_under_way_is_not_forgotten_again() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = heard(KeyDirectory(record.find_keys, clock), clock)

    async def find_then_revoke(key_ids: Sequence[str]) -> Sequence[KnownKey]:
        read = await record.find_keys(key_ids)
        record.known[KEY.key_id] = replace(KNOWN, revoked=True)
        directory.forget(KEY.key_id)  # committed and told after the read, before its answer is here
        return read

    directory = heard(KeyDirectory(find_then_revoke, clock), clock)
    await directory.find(KEY.key_id)

    found = await directory.find(KEY.key_id)

    assert found is not None
    assert found.value.revoked is True


async def test_absence_is_not_remembered() -> None:
    record = Record()
    directory = KeyDirectory(record.find_keys, Clock())
    absent = await directory.find(KEY.key_id)
    record.known[KEY.key_id] = KNOWN

    found = await directory.find(KEY.key_id)

    assert absent is None
    assert found is not None


async def test_a_flood_of_unknown_keys_shares_its_lookups() -> None:
    record = Record()
    directory = KeyDirectory(record.find_keys, Clock())

    await asyncio.gather(*(directory.find(f"unknown-{number}") for number in range(100)))

    assert len(record.calls) <= 2


async def test_while_the_record_is_away_an_old_answer_is_marked_as_not_current() -> None:
    record, clock = Record(KNOWN), Clock()
    directory = KeyDirectory(record.find_keys, clock)
    await directory.find(KEY.key_id)
    record.away, clock.now = True, clock.now + KEY_AGE_S_MAX

    found = await directory.find(KEY.key_id)

    assert found is not None
    assert (KNOWN, False) == (found.value, found.current)
    with pytest.raises(CellUnavailable):
        await directory.find("never seen")


def test_a_full_memory_forgets_the_oldest() -> None:
    memory: Memory[int, str] = Memory(Clock(), age_s_max=1.0, items_max=3)
    for number in (1, 2, 3, 1, 4):
        memory.put(number, str(number))

    assert [None, None] != [memory.get(1), memory.get(4)]
    assert memory.get(2) is None


async def test_a_new_account_is_found_at_once_although_the_others_are_remembered() -> None:
    accounts: dict[str, str] = {"EUR": "acc_eu_1"}
    calls: list[str] = []

    async def load(merchant_id: str) -> Mapping[str, str]:
        calls.append(merchant_id)
        return dict(accounts)

    directory = AccountDirectory(load, Clock())
    before = [await directory.find("mer_eu_1", "EUR"), await directory.find("mer_eu_1", "USD")]
    accounts["USD"] = "acc_eu_2"

    after = [await directory.find("mer_eu_1", "USD"), await directory.find("mer_eu_1", "EUR")]

    assert ["acc_eu_1", None] == before
    assert ["acc_eu_2", "acc_eu_1"] == after
    assert 3 == len(calls)
