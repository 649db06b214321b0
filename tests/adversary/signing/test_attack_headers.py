"""Header fields repeated, joined, folded, disguised or injected."""

from __future__ import annotations

import pytest

from signing import (
    HeaderDuplicated,
    HeaderMalformed,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    RequestSignatureInvalid,
    UnsupportedMedia,
)
from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE", "Content-Digest"])
def test_a_covered_header_that_occurs_twice_is_refused_even_with_the_same_value(name: str) -> None:
    request = attack.good()
    with pytest.raises(HeaderDuplicated):
        attack.accept(request.with_headers(((name, attack.value(request, name.lower())),)))


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
@pytest.mark.parametrize("value", ['"order-2041-attempt-1"', '"order-2041-attempt-2"', ""])
def test_a_second_idempotency_key_is_an_invalid_one(name: str, value: str) -> None:
    with pytest.raises(IdempotencyKeyInvalid) as refusal:
        attack.accept(attack.good().with_headers(((name, value),)))

    assert (refusal.value.code, refusal.value.status) == ("idempotency_key_invalid", 400)


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
    with pytest.raises(IdempotencyKeyInvalid):
        attack.accept(attack.changed(attack.good(), "idempotency-key", lambda _: value))


def test_a_missing_idempotency_key_is_named() -> None:
    with pytest.raises(IdempotencyKeyMissing) as refusal:
        attack.accept(attack.without(attack.good(), "idempotency-key"))

    assert (refusal.value.code, refusal.value.status) == ("idempotency_key_missing", 400)


def test_another_idempotency_key_breaks_the_signature() -> None:
    with pytest.raises(RequestSignatureInvalid):
        attack.accept(attack.changed(attack.good(), "idempotency-key", lambda _: '"order-2041-attempt-2"'))


def test_an_idempotency_key_on_a_get_is_refused_for_it_is_not_signed() -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        attack.accept(attack.good_get().with_headers((("Idempotency-Key", '"order-2041-attempt-1"'),)))


@pytest.mark.parametrize("name", ["@method", "@target-uri", "@status", "x@y"])
def test_a_header_named_like_a_derived_component_is_refused(name: str) -> None:
    with pytest.raises(HeaderMalformed):
        attack.accept(attack.good().with_headers(((name, "GET"),)))


@pytest.mark.parametrize("name", ["idempotency-\u212aey", "content\u2010type", "ſignature", "é"])
def test_a_header_name_that_only_looks_ascii_is_refused(name: str) -> None:
    with pytest.raises(HeaderMalformed):
        attack.accept(attack.good().with_headers(((name, "x"),)))


@pytest.mark.parametrize(
    "value", ["application/json,application/json", "application/json\r\n text/plain", "application/json\t"]
)
def test_a_joined_or_folded_content_type_is_refused(value: str) -> None:
    with pytest.raises(UnsupportedMedia):
        attack.accept(attack.changed(attack.good(), "content-type", lambda _: value))


def test_ambiguous_framing_and_trailers_are_refused() -> None:
    both = (("Content-Length", "21"), ("Transfer-Encoding", "chunked"))
    with pytest.raises(HeaderMalformed):
        attack.accept(attack.good().with_headers(both))
    with pytest.raises(HeaderMalformed):
        attack.accept(attack.good().with_headers((("Trailer", "Content-Digest"),)))
    with pytest.raises(HeaderDuplicated):
        attack.accept(attack.good().with_headers((("Content-Length", "21"), ("content-length", "22"))))


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
