"""Attack 3: a digest that covers one algorithm while another one describes another body."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

import pytest

from signing.digest import content_digest
from tests.adversary.signing import attacked_request as attack

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
    with attack.refused("digest_malformed"):
        attack.accept(attack.changed(attack.good(), "content-digest", change))


def test_a_missing_or_second_digest_is_refused() -> None:
    request = attack.good()
    with attack.refused("digest_malformed"):
        attack.accept(attack.without(request, "content-digest"))
    with attack.refused("header_duplicated"):
        attack.accept(request.with_headers((("CONTENT-DIGEST", content_digest(b"{}")),)))


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_a_digest_covered_by_one_member_alone_is_refused(algorithm: str) -> None:
    covered = attack.COVERED.replace('"content-digest"', f'"content-digest";key="{algorithm}"')
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(), covered))


def test_a_member_of_another_algorithm_beside_the_signed_one_is_refused() -> None:
    covered = attack.COVERED.replace('"content-digest"', '"content-digest";key="sha-256"')
    request = attack.payment_signed_with(attack.parameters(), covered)
    swapped = dataclasses.replace(request, body=b"{}")
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(swapped, "content-digest", lambda old: f"{old}, sha-512=:{_SHA_512}:"))
