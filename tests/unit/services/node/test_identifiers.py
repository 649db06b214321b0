"""Ids sort by time, carry their cell and have one form."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.identifiers import RANDOM_BITS, is_id, new_id

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
TIMES = st.integers(min_value=0, max_value=2**48 - 1)
BITS = st.integers(min_value=0, max_value=2**RANDOM_BITS - 1)


def number_of(identifier: str) -> int:
    number = 0
    for character in identifier.rpartition("_")[2]:
        number = number * 32 + CROCKFORD.index(character)
    return number


@given(earlier=TIMES, later=TIMES, bits=BITS, other_bits=BITS)
def test_an_id_of_an_earlier_millisecond_sorts_first(
    earlier: int, later: int, bits: int, other_bits: int
) -> None:
    earlier, later = sorted((earlier, later))
    first = new_id("pay", "eu", now_ms=earlier, random_bits=bits)
    second = new_id("pay", "eu", now_ms=later, random_bits=other_bits)
    if earlier == later:
        first, second = sorted((first, second))

    assert first <= second
    assert (first == second) == ((earlier, bits) == (later, other_bits))


@given(now_ms=TIMES, bits=BITS)
def test_an_id_is_a_uuid_of_version_7(now_ms: int, bits: int) -> None:
    identifier = new_id("pay", "eu", now_ms=now_ms, random_bits=bits)
    parsed = uuid.UUID(int=number_of(identifier))

    assert (7, uuid.RFC_4122) == (parsed.version, parsed.variant)
    assert now_ms == parsed.int >> 80
    assert bits == ((parsed.int >> 64) & 0xFFF) << 62 | parsed.int & (2**62 - 1)


@given(
    kind=st.from_regex(r"[a-z]{2,4}", fullmatch=True),
    cell=st.from_regex(r"[a-z]{2,8}", fullmatch=True),
    now_ms=TIMES,
    bits=BITS,
)
def test_every_id_has_the_form_of_its_kind_only(kind: str, cell: str, now_ms: int, bits: int) -> None:
    identifier = new_id(kind, cell, now_ms=now_ms, random_bits=bits)

    assert is_id(identifier, kind)
    assert not is_id(identifier, kind[:-1] + ("a" if kind[-1] != "a" else "b"))
    assert not is_id(identifier.upper(), kind)


def test_an_id_that_was_derived_has_130_bits() -> None:
    identifier = "dsp_eu_81zzzzzzzzzzzzzzzzzzzzzzzz"

    assert is_id(identifier, "dsp", derived=True)
    assert not is_id(identifier, "dsp")
    assert not is_id(identifier, "ref", derived=True)


@given(text=st.text(max_size=40))
def test_no_other_text_has_the_form(text: str) -> None:
    assert not is_id(f"pay_eu_{text}", "pay") or len(text) == 26


@pytest.mark.parametrize(
    "text",
    [
        "pay_eu_81zzzzzzzzzzzzzzzzzzzzzzzz",  # 130 bits hold more than a UUID
        "pay_eu_01hzzzzzzzzzzzzzzzzzzzzzz\n",
        "pay_eu_01hzzzzzzzzzzzzzzzzzzzzzzz\n",
        "pay_eu_01izzzzzzzzzzzzzzzzzzzzzzz",
        "pay_EU_01hzzzzzzzzzzzzzzzzzzzzzzz",
        "pay__01hzzzzzzzzzzzzzzzzzzzzzzz",
        "pay_eu_01hzzzzzzzzzzzzzzzzzzzzzz٣",
    ],
)
def test_what_is_nearly_an_id_is_none(text: str) -> None:
    assert not is_id(text, "pay")


@pytest.mark.parametrize(("now_ms", "bits"), [(-1, 0), (2**48, 0), (0, -1), (0, 2**74)])
def test_values_out_of_range_are_refused(now_ms: int, bits: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        new_id("pay", "eu", now_ms=now_ms, random_bits=bits)
