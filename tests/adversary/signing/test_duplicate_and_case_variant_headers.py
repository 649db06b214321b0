"""Attack 5: a covered header twice, in another case, or under a name that only looks like it."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE", "Content-Digest"])
def test_a_covered_header_that_occurs_twice_is_refused_even_with_the_same_value(name: str) -> None:
    request = attack.good()
    with attack.refused("header_duplicated"):
        attack.accept(request.with_headers(((name, attack.value(request, name.lower())),)))


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
@pytest.mark.parametrize("value", ['"order-2041-attempt-1"', '"order-2041-attempt-2"', ""])
def test_a_second_idempotency_key_is_an_invalid_one(name: str, value: str) -> None:
    with attack.refused("idempotency_key_invalid") as refusal:
        attack.accept(attack.good().with_headers(((name, value),)))

    assert (refusal.value.code, refusal.value.status) == ("idempotency_key_invalid", 400)


@pytest.mark.parametrize("name", ["idempotency-\u212aey", "content\u2010type", "ſignature", "é"])
def test_a_header_name_that_only_looks_ascii_is_refused(name: str) -> None:
    with attack.refused("header_malformed"):
        attack.accept(attack.good().with_headers(((name, "x"),)))


@pytest.mark.parametrize(
    "added",
    [
        ("X-Request-Id", "é\x00\n"),
        ("Host", "evil.example"),
        ("Host", "b"),
        ("X-Forwarded-Host", "evil.example"),
    ],
)
def test_headers_that_nothing_reads_change_nothing(added: tuple[str, str]) -> None:
    verified = attack.accept(attack.good().with_headers((added, added)))

    assert f"{attack.ORIGIN}/v1/payments" == verified.request.target_uri
