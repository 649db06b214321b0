"""What a bank agreed to: what it takes, for whom, and for how much (pure).

Written by people in a file that is reviewed, read with the process's configuration, refused with a sentence
where it contradicts itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from services.payments.machine.fees import Currency, FeeSchedule, Word, overlaps
from services.payments.machine.model import Operation

# One bank may carry at most so many times the volume of another at the same cost.
WEIGHT_MAX = 1_000

# The second word of a token to the class of instrument that it stands for.
_CLASSES = {
    "visa": "card", "mastercard": "card", "amex": "card", "card": "card",
    "iban": "account", "account": "account",
}  # fmt: skip
OTHER_CLASS = "other"


class BankTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One bank's terms; an empty list of words means any.

    Attributes:
        weight: Its share of the volume among banks that cost the same.
        retired: It gets no new payments, and what it has is driven to its end: a bank that is taken out
            instead leaves its open attempts to nobody.
        not_found_is_final: Its contract says that what it does not find it will never process.
        fees: Its price list, by names that people read in explanations and faults.
    """

    operations: tuple[Operation, ...] = ()
    currencies: tuple[Currency, ...] = ()
    regions: tuple[Word, ...] = ()
    instrument_classes: tuple[Word, ...] = ()
    weight: Annotated[int, msgspec.Meta(ge=1, le=WEIGHT_MAX)] = 1
    retired: bool = False
    not_found_is_final: bool = False
    fees: dict[Word, FeeSchedule] = {}

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, with a sentence that says what to change."""
        faults = overlaps(self.fees)
        if "authorise" in self.operations and not {"capture", "void"} <= set(self.operations):
            faults.append("a bank that authorises must also capture and void; add them to operations")
        if {"collect", "capture"} & set(self.operations) and "refund" not in self.operations:
            faults.append("a bank that charges must also refund; add it to operations")
        foreign = sorted({fee.currency for fee in self.fees.values()} - set(self.currencies or ()))
        if self.currencies and foreign:
            faults.append(f"fees in {', '.join(foreign)}, which it does not take; add or remove them")
        if faults:
            raise ValueError("; ".join(faults))


def instrument_class_of(instrument: str) -> str:
    """Tell the class from a token such as `tok_visa_…`; `other` for what names none."""
    return _CLASSES.get(instrument[4:].partition("_")[0], OTHER_CLASS)


def terms_of(names: Iterable[str], terms: Mapping[str, BankTerms]) -> dict[str, BankTerms]:
    """The terms of each bank that is connected; one without terms takes everything and costs nothing.

    Raises:
        ValueError: There are terms of a bank that is not connected: its name is misspelt.
    """
    wanted = list(names)
    if strangers := sorted(set(terms) - set(wanted)):
        raise ValueError(f"terms of banks that are not connected: {', '.join(strangers)}")
    return {name: terms.get(name, BankTerms()) for name in wanted}
