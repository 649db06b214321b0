"""What the last calls to a bank came to, and which of them count for a payment (pure).

Calls are counted twice: with all of their bank and operation, and with those of the same instrument class and
currency alone. The finer figures tell more, and count as soon as there are enough of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from services.payments.machine.fees import Key
from services.payments.machine.model import Operation

# Of so many calls a rate of one in ten is known to within four in a hundred (one standard error). With fewer,
# three faults in a row of a rare currency would send its payments to the dearer bank for minutes.
FINE_CALLS_MIN = 50


class Figures(NamedTuple):
    """The calls of one window.

    Attributes:
        failed_permille: How many of them failed for reasons of the bank, in thousandths.
        answer_ms: How long its answers take.
    """

    calls: int = 0
    failed_permille: int = 0
    answer_ms: int = 0


class FineKey(NamedTuple):
    """One of a bank's finer windows."""

    operation: Operation
    instrument_class: str
    currency: str


NOTHING_SEEN = Figures()

Coarse: TypeAlias = Mapping[Operation, Figures]
Fine: TypeAlias = Mapping[FineKey, Figures]


def figures_for(key: Key, coarse: Coarse, fine: Fine) -> tuple[Figures, str | None]:
    """The figures that count for a key, and the name of their window for people; None: nothing was seen."""
    fine_key = FineKey(key.operation, key.instrument_class, key.currency)
    found = fine.get(fine_key, NOTHING_SEEN)
    if found.calls >= FINE_CALLS_MIN:
        return found, " ".join(fine_key)
    found = coarse.get(key.operation, NOTHING_SEEN)
    return found, key.operation if found.calls else None
