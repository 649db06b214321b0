from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.idempotency import fingerprint, key_hash

PARTS = st.tuples(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))


def of(parts: tuple[str, str, str, str]) -> bytes:
    method, path, query, digest = parts
    return fingerprint(method=method, path=path, query=query, content_digest=digest)


@given(PARTS, PARTS)
def test_fingerprints_are_equal_exactly_when_all_parts_are(
    one: tuple[str, str, str, str], two: tuple[str, str, str, str]
) -> None:
    assert (one == two) == (of(one) == of(two))


@given(st.text(max_size=12), st.integers(min_value=0, max_value=12))
def test_moving_a_boundary_between_parts_changes_the_fingerprint(text: str, cut: int) -> None:
    whole, split = of((text, "", "", "")), of((text[:cut], text[cut:], "", ""))

    assert (text[cut:] == "") == (whole == split)


def test_the_fingerprint_of_a_known_request_never_changes() -> None:
    # Stored fingerprints are compared for as long as idempotency keys are kept.
    digest = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
    known = fingerprint(method="POST", path="/v1/payments", query="", content_digest=digest)

    assert known.hex() == "6e4d20c2e775728e96e0442cbaf1d31d8fae423f4d0fcba8a260b450d1f28417"


@given(st.text(), st.text())
def test_keys_are_told_apart_by_their_hash(one: str, two: str) -> None:
    assert (one == two) == (key_hash(one) == key_hash(two))
