"""Change a JSON text where it counts: at one value or member, with what readers stumble over.

The decoders are written in C, so a fuzzer sees no coverage inside them, and bytes changed by chance are
hardly ever JSON any more. What is no JSON is left to the fuzzer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

# Where integers, decimals, dates, ids and texts begin or cease to be allowed, a step beyond, and other types.
VALUES: Final[tuple[Any, ...]] = (
    0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 10**12 - 1, 10**12, 1e3, 1.5, True, False, None, "", "0",
    "0.00", "0.001", "00.10", "1", "1.", ".5", "-1.00", "+1.00", "1e3", "9" * 12 + ".99", "9" * 15, "9" * 16,
    "9" * 15 + ".9999", "\u0660\u0661", "\x00", "a\n", "\ud800", "\U0001f600", "EUR", "JPY", "BHD", "CLP",
    "eur", "EURO", "XXX", "20260231", "2026-02-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2026-11-01T12:00:00", "2026-11-01T24:00:00Z", "2026-11-01T23:59:60Z", "00", "05", "ZZ", "a" * 128,
    "a" * 129, "a/b", "../a", [], {}, [[]], {"": {}},
)  # fmt: skip
MEMBERS: Final = (
    "extra", "alarm", "decline_code", "bank_reference", "dispute_reference", "networkReference",
)  # fmt: skip
_Place: TypeAlias = tuple[Any, Any]  # A container, and the key or index in it.


def mutated(octets: bytes, seed: int) -> bytes | None:
    """The same text with one to three changes that follow from the seed.

    None if it is no JSON container, or one that is nested more deeply than can be walked.
    """
    try:
        return _mutated(json.loads(octets), seed)
    except (ValueError, RecursionError):
        return None


def _mutated(value: Any, seed: int) -> bytes | None:
    if not isinstance(value, dict | list) or not value:
        return None
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        places = list(_places(value))
        if not places:
            break
        chance.choice(_CHANGES)(chance.choice(places), places, chance)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[_Place]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(members):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _replace(place: _Place, _: list[_Place], chance: random.Random) -> None:
    container, key = place
    container[key] = chance.choice(VALUES)


def _copy(place: _Place, places: list[_Place], chance: random.Random) -> None:
    """Put here what is somewhere else; by text, so that nothing holds itself."""
    container, key = place
    source, name = chance.choice(places)
    if _has(source, name) and _has(container, key):
        container[key] = json.loads(json.dumps(source[name]))


def _step(place: _Place, _: list[_Place], chance: random.Random) -> None:
    """One more or less, or a digit or letter more or less."""
    container, key = place
    match container[key] if _has(container, key) else None:
        case bool() | None:
            return
        case int() as number:
            container[key] = number + chance.choice((-1, 1, number, -number))
        case str() as text:
            at = chance.randint(0, len(text))
            middle, rest = chance.choice(("0", "9", "a", ".", " ", "")), text[at + chance.randint(0, 1) :]
            container[key] = text[:at] + middle + rest
        case list() as items if items:
            items.append(json.loads(json.dumps(chance.choice(items))))


def _remove(place: _Place, _places_: list[_Place], _chance: random.Random) -> None:
    container, key = place
    if _has(container, key):
        del container[key]


def _add(place: _Place, _: list[_Place], chance: random.Random) -> None:
    """A member that nobody knows, or that another form has."""
    container, _key = place
    if isinstance(container, dict):
        container[chance.choice(MEMBERS)] = chance.choice(VALUES)


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


_CHANGES: Final[tuple[Callable[[_Place, list[_Place], random.Random], None], ...]] = (
    _replace, _replace, _copy, _step, _step, _remove, _add,
)  # fmt: skip
