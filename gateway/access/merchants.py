"""The key directory: which merchant a key id belongs to, and the accounts of a merchant.

Positive answers are kept for a few seconds, which bounds both the load and the time until a revocation
counts. Absence is never kept: a key registered a moment ago is known at once. An answer older than its
time is handed out only together with the fact that it is, so that nothing is accepted on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import CellUnavailable
from gateway.store.registry import KnownKey
from services.node.group import Group, GroupFull

KEY_AGE_S_MAX = 5.0  # A revoked key works this much longer at the most; enough to serve a burst from memory.
ACCOUNT_AGE_S_MAX = 60.0  # An account never changes its owner or currency; new ones are looked for on a miss.
REMEMBERED_MAX = 20_000  # About 1 kB each; more active merchants than one worker serves in a minute.
LOOKUPS_PER_STATEMENT_MAX = 128  # A flood of unknown keys costs one statement at a time.

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class Recalled(Generic[ValueT]):
    """A remembered value; `current` tells whether anything may be accepted on it."""

    value: ValueT
    current: bool


class Memory(Generic[KeyT, ValueT]):
    """A bounded map that knows the age of what it holds; the oldest goes first when it is full."""

    def __init__(
        self, clock: Callable[[], float], *, age_s_max: float, items_max: int = REMEMBERED_MAX
    ) -> None:
        self._clock = clock
        self._age_s_max = age_s_max
        self._items_max = items_max
        self._held: dict[KeyT, tuple[float, ValueT]] = {}

    def put(self, key: KeyT, value: ValueT) -> None:
        """Remember a value as of now."""
        self._held.pop(key, None)
        while len(self._held) >= self._items_max:
            del self._held[next(iter(self._held))]
        self._held[key] = (self._clock(), value)

    def get(self, key: KeyT) -> Recalled[ValueT] | None:
        """Return what is remembered, however old."""
        held = self._held.get(key)
        if held is None:
            return None
        since, value = held
        return Recalled(value, self._clock() - since < self._age_s_max)


class KeyDirectory:
    """Finds registered keys.

    Args:
        load: key ids to the known ones among them, in any order; raises `CellUnavailable`.
        clock: monotonic seconds.
    """

    def __init__(
        self, load: Callable[[Sequence[str]], Awaitable[Sequence[KnownKey]]], clock: Callable[[], float]
    ) -> None:
        self._load = load
        self._memory: Memory[str, KnownKey] = Memory(clock, age_s_max=KEY_AGE_S_MAX)
        self._lookups: Group[str, KnownKey | None] = Group(self._look_up, items_max=LOOKUPS_PER_STATEMENT_MAX)

    async def find(self, key_id: str) -> Recalled[KnownKey] | None:
        """Return the key; None if it is not registered.

        Raises:
            CellUnavailable: the record is away and the key was never seen here.
        """
        recalled = self._memory.get(key_id)
        if recalled is not None and recalled.current:
            return recalled
        try:
            known = await self._lookups.submit(key_id)
        except (CellUnavailable, GroupFull) as fault:
            if recalled is not None:
                return recalled
            raise CellUnavailable("the key directory is out of reach: send the same request again") from fault
        return None if known is None else Recalled(known, current=True)

    async def _look_up(self, key_ids: list[str]) -> list[KnownKey | None]:
        found = {known.key.key_id: known for known in await self._load(sorted(set(key_ids)))}
        for key_id, known in found.items():
            self._memory.put(key_id, known)
        return [found.get(key_id) for key_id in key_ids]

    async def close(self) -> None:
        """Wait for lookups under way."""
        await self._lookups.close()


class AccountDirectory:
    """Finds the account of a merchant for a currency.

    Args:
        load: merchant id to currency → account id; raises `CellUnavailable`.
        clock: monotonic seconds.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[Mapping[str, str]]], clock: Callable[[], float]
    ) -> None:
        self._load = load
        self._memory: Memory[str, Mapping[str, str]] = Memory(clock, age_s_max=ACCOUNT_AGE_S_MAX)

    async def find(self, merchant_id: str, currency: str) -> str | None:
        """Return the account id; None if the merchant has no account in this currency.

        Raises:
            CellUnavailable: the record is away.
        """
        recalled = self._memory.get(merchant_id)
        if recalled is not None and recalled.current and currency in recalled.value:
            return recalled.value[currency]
        accounts = await self._load(merchant_id)
        self._memory.put(merchant_id, accounts)
        return accounts.get(currency)
