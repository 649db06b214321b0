"""A body that is not the signed one: swapped, emptied, encoded, described by another digest."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

import pytest

from signing import (
    BodyMissing,
    BodyNotAllowed,
    DigestMalformed,
    DigestMismatch,
    HeaderDuplicated,
    RequestSignatureInvalid,
    TooLarge,
    UnsupportedMedia,
)
from signing.digest import content_digest
from signing.profile import BODY_BYTES_MAX
from tests.adversary.signing import attacked_request as attack


def test_the_unchanged_request_is_accepted() -> None:
    request = attack.good()

    assert request == attack.accept(request).request


@pytest.mark.parametrize("body", [b"{}", b'{"amount_minor":1999} ', b'{"amount_minor":1999', b"\x00"])
def test_a_swapped_body_is_refused_as_a_wrong_digest(body: bytes) -> None:
    with pytest.raises(DigestMismatch) as refusal:
        attack.accept(dataclasses.replace(attack.good(), body=body))

    assert (refusal.value.code, refusal.value.status) == ("digest_mismatch", 401)


def test_a_swapped_body_with_its_own_digest_is_refused() -> None:
    request = dataclasses.replace(attack.good(), body=b"{}")
    with pytest.raises(RequestSignatureInvalid):
        attack.accept(attack.changed(request, "content-digest", lambda _: content_digest(b"{}")))


@pytest.mark.parametrize("body", [None, b""])
def test_a_body_taken_away_is_refused(body: bytes | None) -> None:
    with pytest.raises(BodyMissing):
        attack.accept(dataclasses.replace(attack.good(), body=body))


def test_a_body_added_to_a_get_is_refused() -> None:
    with pytest.raises(BodyNotAllowed):
        attack.accept(dataclasses.replace(attack.good_get(), body=b"{}"))


def test_the_largest_body_is_accepted_and_one_byte_more_is_not() -> None:
    largest = b'"' + b"a" * (BODY_BYTES_MAX - 2) + b'"'
    accepted = attack.accept(attack.good(body=largest))

    assert largest == accepted.request.body
    with pytest.raises(TooLarge) as refusal:
        attack.accept(dataclasses.replace(attack.good(), body=largest + b" "))
    assert (refusal.value.code, refusal.value.status) == ("too_large", 413)


_SHA_512 = base64.b64encode(hashlib.sha512(b"{}").digest()).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda old: f"{old}, sha-512=:{_SHA_512}:",
        lambda old: f"sha-512=:{_SHA_512}:, {old}",
        lambda old: f"{old}, {old}",
        lambda _: f"sha-512=:{_SHA_512}:",
        lambda old: old.replace("sha-256", "SHA-256"),
        lambda old: old.replace("sha-256", "md5"),
        lambda old: old + ";x=1",
        lambda old: " " + old,
        lambda old: old + "\n",
        lambda old: old.replace("=:", ":"),
        lambda old: old.replace("+", "-").replace("/", "_").replace("=:", "=:_", 1),
        lambda old: old[: old.index("=:") - 0] + "=:" + "A" * 42 + "B=:",
    ],
    ids=range(13),
)
def test_a_digest_field_that_is_not_one_canonical_sha_256_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(DigestMalformed):
        attack.accept(attack.changed(attack.good(), "content-digest", change))


def test_a_missing_or_second_digest_is_refused() -> None:
    request = attack.good()
    with pytest.raises(DigestMalformed):
        attack.accept(attack.without(request, "content-digest"))
    with pytest.raises(HeaderDuplicated):
        attack.accept(request.with_headers((("CONTENT-DIGEST", content_digest(b"{}")),)))


@pytest.mark.parametrize("encoding", ["gzip", "identity", "", "br, gzip"])
def test_any_content_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia) as refusal:
        attack.accept(attack.good().with_headers((("Content-Encoding", encoding),)))

    assert (refusal.value.code, refusal.value.status) == ("unsupported_media", 415)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json, text/plain",
        " application/json",
        "application/json\n",
        "",
    ],
)
def test_any_other_media_type_is_refused(media_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        attack.accept(attack.changed(attack.good(), "content-type", lambda _: media_type))
