"""Targets of what reads numbers, tokens and keys: what comes out is a value or a refusal without a digit."""

from __future__ import annotations

import contextlib
from typing import Final

from gateway.api.instrument_orders import is_blinded, parse_order
from gateway.errors import MalformedJSON, ValidationFailed
from services.node.redacted import Redacted
from services.vault.cell_keys import parse_keys, with_new_key
from services.vault.errors import InstrumentInvalid, KeysRefused
from services.vault.numbers import check_card, check_iban
from services.vault.tokens import belongs_to, cell_of, is_token

NOW: Final = (2026, 11)
SHOWN_MAX: Final = 4


def instrument_order(octets: bytes) -> bool:
    """`parse_order`: what it accepts is blinded and has exactly one number; what it says repeats none."""
    blinded = is_blinded(octets)
    try:
        order = parse_order(octets)
    except (MalformedJSON, ValidationFailed) as refusal:
        told = str(refusal) + str(getattr(refusal, "faults", ""))
        assert not any(run in told for run in _runs(octets))
        return False
    assert blinded
    assert (order.card is None) != (order.iban is None)
    assert not any(run in repr(order) for run in _runs(octets))
    return True


def number(octets: bytes) -> bool:
    """`check_card` and `check_iban` of any text."""
    text, accepted = octets.decode("utf-8", "replace"), False
    with contextlib.suppress(InstrumentInvalid):
        shown = check_card(Redacted(text), 12, 2030, now=NOW)
        assert text.isascii()
        assert text.isdigit()
        assert text[-SHOWN_MAX:] == shown.last4
        accepted = True
    with contextlib.suppress(InstrumentInvalid):
        assert text[:2] == check_iban(Redacted(text)).country
        assert text.isascii()
        assert text.isalnum()
        accepted = True
    return accepted


def token(octets: bytes) -> bool:
    """`is_token` and what follows from it: nobody owns what is none."""
    text = octets.decode("latin-1")
    if not is_token(text):
        assert not belongs_to(text, "mer_eu_one")
        return False
    assert text.startswith(f"tok_{cell_of(text)}_")
    belongs_to(text, "mer_eu_one")
    return True


def cell_keys(octets: bytes) -> bool:
    """`parse_keys`: a further key can be added to whatever it reads."""
    with contextlib.suppress(KeysRefused):
        keys = parse_keys(octets)
        with contextlib.suppress(KeysRefused):  # The last version of all has no next one.
            assert dict(keys).items() <= dict(parse_keys(with_new_key(octets))).items()
        return True
    return False


def _runs(octets: bytes) -> set[str]:
    """Every eight digits in a row of the input: more than any message of ours has."""
    text = octets.decode("latin-1")
    return {text[i : i + 8] for i in range(len(text) - 7) if text[i : i + 8].isdigit()}
