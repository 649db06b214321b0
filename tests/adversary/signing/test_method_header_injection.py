"""Attack 16: a header named like a derived component (RFC 9421 §7.5.1)."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize("name", ["@method", "@target-uri", "@status", "x@y"])
def test_a_header_named_like_a_derived_component_is_refused(name: str) -> None:
    with attack.refused("header_malformed"):
        attack.accept(attack.good().with_headers(((name, "GET"),)))
