"""Idempotency keys that are unsigned, missing, or could be read in two ways."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize(
    "value",
    [
        "order-2041-attempt-1",
        '"order-2041-attempt-1", "order-2041-attempt-1"',
        '"order-2041-attempt-1";x=1',
        '"short"',
        '""',
        "",
        '"' + "x" * 15 + '"',
        '"' + "x" * 65 + '"',
        ' "order-2041-attempt-1"',
        '"order-2041-attempt-1"\n',
        '"order-2041 attempt-1"',
        '"order-2041\\"attempt-1"',
        '"order-2041-attempt-é"',
        ":b3JkZXItMjA0MQ==:",
        '"order-2041-attempt-1" \r\n "',
    ],
)
def test_an_idempotency_key_has_one_form(value: str) -> None:
    with attack.refused("idempotency_key_invalid"):
        attack.accept(attack.changed(attack.good(), "idempotency-key", lambda _: value))


def test_a_missing_idempotency_key_is_named() -> None:
    with attack.refused("idempotency_key_missing") as refusal:
        attack.accept(attack.without(attack.good(), "idempotency-key"))

    assert (refusal.value.code, refusal.value.status) == ("idempotency_key_missing", 400)


def test_another_idempotency_key_breaks_the_signature() -> None:
    with attack.refused("signature_invalid"):
        attack.accept(attack.changed(attack.good(), "idempotency-key", lambda _: '"order-2041-attempt-2"'))


def test_an_idempotency_key_on_a_get_is_refused_for_it_is_not_signed() -> None:
    with attack.refused("idempotency_key_invalid"):
        attack.accept(attack.good_get().with_headers((("Idempotency-Key", '"order-2041-attempt-1"'),)))
