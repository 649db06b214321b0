"""Attack 27: texts that look equal and are not. Bytes are signed; nothing is normalised, before or after."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable

import pytest

from signing import explain
from tests.adversary.signing import attacked_request as attack

_LOOK_ALIKE = [
    ("Zoë", unicodedata.normalize("NFD", "Zoë")),
    ("paypal", "p\u0430ypal"),  # a Cyrillic a
    ("Ångström", "\u212bngström"),  # the Ångström sign, which NFC turns into Å
    ("ﬁnance", "finance"),  # a ligature, which NFKC takes apart
    ("a\u200bb", "ab"),  # a space of no width
    ("1\u202e001", "1001"),  # a mark that turns the direction of writing
]


@pytest.mark.parametrize(("signed", "shown"), _LOOK_ALIKE, ids=ascii)
def test_a_body_that_looks_like_the_signed_one_is_refused(signed: str, shown: str) -> None:
    request = attack.good(body=f'{{"name":"{signed}"}}'.encode())
    verified = attack.accept(request)

    assert f'{{"name":"{signed}"}}'.encode() == verified.request.body
    with attack.refused("digest_mismatch"):
        attack.accept(dataclasses.replace(request, body=f'{{"name":"{shown}"}}'.encode()))


def test_no_encoding_is_preferred_because_none_is_read() -> None:
    for body in ('"é"'.encode(), '"é"'.encode("latin-1"), '"é"'.encode("utf-16"), b"\xff\xfe\x00"):
        assert body == attack.accept(attack.good(body=body)).request.body


def _holding(character: str) -> Callable[[str], str]:
    return lambda old: old[:-2] + character + old[-2:]


@pytest.mark.parametrize("name", ["idempotency-key", "content-type", "content-digest", "signature-input"])
def test_no_character_beyond_ascii_is_accepted_in_a_covered_field(name: str) -> None:
    codes = {
        "idempotency-key": "idempotency_key_invalid",
        "content-type": "unsupported_media",
        "content-digest": "digest_malformed",
        "signature-input": "signature_malformed",
    }
    # Digits of other scripts, a full-width letter, a combining mark: what `\d`, `\w` and casefold take in.
    for character in ("٣", "\uff41", "\u0301", "ſ", "\u212a", "é"):
        with attack.refused(codes[name]):
            attack.accept(attack.changed(attack.good(), name, _holding(character)))


def test_an_explanation_shows_what_is_not_printable_escaped() -> None:
    base = attack.accept(attack.good()).signature_base
    text = explain(base, base.replace(b"order-2041", "\u202e1402\x1b[31m".encode()))

    assert text.replace("\n", " ").isprintable()
    assert "\\x1b" in text
    assert text.isascii()
