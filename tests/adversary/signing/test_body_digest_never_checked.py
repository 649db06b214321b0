"""Attack 1: the signature is right and nobody compares the body with its digest (CVE-2023-49079)."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from signing import Request, Response, parse_request, sign_receipt, verify_receipt, verify_request
from signing.digest import content_digest
from signing.profile import BODY_BYTES_MAX
from tests.adversary.signing import attacked_request as attack


def test_the_unchanged_request_is_accepted() -> None:
    request = attack.good()

    assert request == attack.accept(request).request


@pytest.mark.parametrize("body", [b"{}", b'{"amount_minor":1999} ', b'{"amount_minor":1999', b"\x00"])
def test_a_swapped_body_is_refused_as_a_wrong_digest(body: bytes) -> None:
    with attack.refused("digest_mismatch") as refusal:
        attack.accept(dataclasses.replace(attack.good(), body=body))

    assert (refusal.value.code, refusal.value.status) == ("digest_mismatch", 401)


def test_a_swapped_body_with_its_own_digest_is_refused() -> None:
    request = dataclasses.replace(attack.good(), body=b"{}")
    with attack.refused("signature_invalid"):
        attack.accept(attack.changed(request, "content-digest", lambda _: content_digest(b"{}")))


@pytest.mark.parametrize("body", [None, b""])
def test_a_body_taken_away_is_refused(body: bytes | None) -> None:
    with attack.refused("body_missing"):
        attack.accept(dataclasses.replace(attack.good(), body=body))


def test_a_body_added_to_a_get_is_refused() -> None:
    with attack.refused("body_not_allowed"):
        attack.accept(dataclasses.replace(attack.good_get(), body=b"{}"))


def test_the_largest_body_is_accepted_and_one_byte_more_is_not() -> None:
    largest = b'"' + b"a" * (BODY_BYTES_MAX - 2) + b'"'
    accepted = attack.accept(attack.good(body=largest))

    assert largest == accepted.request.body
    with attack.refused("too_large") as refusal:
        attack.accept(dataclasses.replace(attack.good(), body=largest + b" "))
    assert (refusal.value.code, refusal.value.status) == ("too_large", 413)


def test_a_receipt_whose_body_or_whose_requests_body_was_swapped_is_refused() -> None:
    request, answer = attack.good(), Response(202, (("Content-Type", "application/json"),), b"{}")
    keys = {attack.MALLORY.key_id: attack.MALLORY.verifying_key}
    fields = sign_receipt(attack.accept(request).signed, answer, attack.MALLORY, now=attack.NOW)
    answered = answer.with_headers(fields)

    assert 202 == verify_receipt(request, answered, keys.get, now=attack.NOW).status
    with attack.refused("receipt_digest_mismatch"):
        verify_receipt(request, dataclasses.replace(answered, body=b"[]"), keys.get, now=attack.NOW)
    with attack.refused("receipt_digest_mismatch"):
        verify_receipt(dataclasses.replace(request, body=b"{}"), answered, keys.get, now=attack.NOW)


def test_there_is_no_way_to_verify_without_the_body() -> None:
    # The body is part of the only thing that can be parsed, and no argument of either step is optional.
    asked = [*inspect.signature(parse_request).parameters, *inspect.signature(verify_request).parameters]
    required = [field.name for field in dataclasses.fields(Request) if field.default is dataclasses.MISSING]

    assert ["request", "origins", "signed", "key", "now"] == asked
    assert ["method", "target_uri", "headers", "body"] == required
