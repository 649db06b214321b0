"""Attack 15: values are signed without their names, so that they can change places (CVE-2017-16005)."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import pytest

from tests.adversary.signing import attacked_request as attack

_COVERED = ("content-type", "content-digest", "idempotency-key")


def test_the_base_names_every_component_before_its_value() -> None:
    base = attack.accept(attack.good()).signature_base.decode()
    names = [line.partition(": ")[0] for line in base.split("\n")]

    assert [*attack.COVERED.split(" "), '"@signature-params"'] == names


@pytest.mark.parametrize("order", list(permutations(_COVERED))[1:], ids=" ".join)
def test_values_that_change_places_are_refused(order: tuple[str, ...]) -> None:
    request = attack.good()
    values = dict(zip(_COVERED, (attack.value(request, name) for name in order), strict=True))
    headers = tuple((name, values.get(name.lower(), old)) for name, old in request.headers)
    with attack.refused("unsupported_media" if order[0] != "content-type" else "idempotency_key_invalid"):
        attack.accept(dataclasses.replace(request, headers=headers))


def test_a_value_under_another_name_signs_nothing() -> None:
    request = attack.good()
    renamed = tuple(
        ("X-Idempotency-Key" if name == "Idempotency-Key" else name, value) for name, value in request.headers
    )
    with attack.refused("idempotency_key_missing"):
        attack.accept(dataclasses.replace(request, headers=renamed))


def test_a_line_break_in_a_value_cannot_make_a_second_line_of_the_base() -> None:
    forged = '"order-2041-attempt-1"\n"@method": GET'
    with attack.refused("idempotency_key_invalid"):
        attack.accept(attack.changed(attack.good(), "idempotency-key", lambda _: forged))
    with attack.refused("unsupported_media"):
        attack.accept(attack.changed(attack.good(), "content-type", lambda old: old + '\n"@method": GET'))
