"""Attacks 20 and 21: two header lines joined or folded into one value, as proxies do."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize(
    "value", ["application/json,application/json", "application/json\r\n text/plain", "application/json\t"]
)
def test_a_joined_or_folded_content_type_is_refused(value: str) -> None:
    with attack.refused("unsupported_media"):
        attack.accept(attack.changed(attack.good(), "content-type", lambda _: value))


@pytest.mark.parametrize("joiner", [",", ", ", " ", "\r\n ", "\t"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("content-type", "unsupported_media"),
        ("content-digest", "digest_malformed"),
        ("idempotency-key", "idempotency_key_invalid"),
        ("signature-input", "signature_malformed"),
        ("signature", "signature_malformed"),
    ],
)
def test_any_covered_header_joined_with_itself_is_refused(name: str, code: str, joiner: str) -> None:
    with attack.refused(code):
        attack.accept(attack.changed(attack.good(), name, lambda old: f"{old}{joiner}{old}"))
