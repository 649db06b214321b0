"""The key directory: which merchant a key id belongs to, and the accounts of a merchant.

Positive answers are kept for a few seconds while revocations are heard of (`gateway.store.revocations`), and
for less than one while they are not, so that a revocation counts within a second either way. Absence is never
kept: a key registered a moment ago is known at once. An answer older than its time is handed out only
together with the fact that it is, so that nothing is accepted on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import CellUnavailable
from gateway.store.registry import KnownKey
from services.node.group import Group, GroupFull

KEY_AGE_S_MAX = 5.0  # While revocations are heard of; enough to serve a burst from memory.
# While they are not: this long a revoked key can go on, so that with the look-up it stays below a second. It
# is what one proof of hearing holds for, too: the two never add up, because the shorter age counts from the
# look-up.
KEY_AGE_UNHEARD_S_MAX = 0.9
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

    def put(self, key: KeyT, value: ValueT, *, at: float | None = None) -> None:
        """Remember a value as of now, or of the moment at which it was asked for."""
        self._held.pop(key, None)
        while len(self._held) >= self._items_max:
            del self._held[next(iter(self._held))]
        self._held[key] = (self._clock() if at is None else at, value)

    def get(self, key: KeyT) -> Recalled[ValueT] | None:
        """Return what is remembered, however old."""
        held = self._held.get(key)
        if held is None:
            return None
        since, value = held
        return Recalled(value, self._clock() - since < self._age_s_max)

    def since(self, key: KeyT) -> float:
        """Return when what is remembered was put there."""
        return self._held[key][0]

    def drop(self, key: KeyT) -> None:
        """Forget one thing, if it is remembered."""
        self._held.pop(key, None)


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
        self._clock = clock
        self._memory: Memory[str, KnownKey] = Memory(clock, age_s_max=KEY_AGE_S_MAX)
        # Every revocation between these two moments was told, or will be in time.
        self._heard_from = self._heard_until = float("-inf")
        # Told while a look-up was under way, which may have read the state before.
        self._told_meanwhile: set[str] = set()
        self._lookups: Group[str, KnownKey | None] = Group(self._look_up, items_max=LOOKUPS_PER_STATEMENT_MAX)

    async def find(self, key_id: str) -> Recalled[KnownKey] | None:
        """Return the key; None if it is not registered.

        Raises:
            CellUnavailable: the record is away and the key was never seen here.
        """
        recalled = self._recall(key_id)
        if recalled is not None and recalled.current:
            return recalled
        try:
            known = await self._lookups.submit(key_id)
        except (CellUnavailable, GroupFull) as fault:
            if recalled is not None:
                return recalled
            raise CellUnavailable("the key directory is out of reach: send the same request again") from fault
        return None if known is None else Recalled(known, current=True)

    def forget(self, key_id: str) -> None:
        """This key was revoked: it is looked up before it counts again."""
        self._memory.drop(key_id)
        self._told_meanwhile.add(key_id)

    def hear_from_now(self) -> None:
        """From now on every revocation is told."""
        self._heard_from = self._clock()

    def hear_until(self, moment: float) -> None:
        """Up to this moment every revocation has been told, or will be in time."""
        self._heard_until = moment

    def _recall(self, key_id: str) -> Recalled[KnownKey] | None:
        recalled = self._memory.get(key_id)
        if recalled is None or not recalled.current:
            return recalled
        now, since = self._clock(), self._memory.since(key_id)
        is_heard = now < self._heard_until and since >= self._heard_from
        return Recalled(recalled.value, is_heard or now - since < KEY_AGE_UNHEARD_S_MAX)

    async def _look_up(self, key_ids: list[str]) -> list[KnownKey | None]:
        self._told_meanwhile.clear()
        asked = self._clock()
        found = {known.key.key_id: known for known in await self._load(sorted(set(key_ids)))}
        for key_id, known in found.items():
            if key_id not in self._told_meanwhile:
                self._memory.put(key_id, known, at=asked)
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
