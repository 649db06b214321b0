"""Attack 17: a method in another case, which some libraries turn into the signed one."""

from __future__ import annotations

import dataclasses

import pytest

from signing import Request
from tests.adversary.signing import attacked_request as attack


def _signed_for(target_uri: str, method: str = "POST") -> Request:
    """Sign honestly for a target or method that the library itself would refuse to sign for."""
    request = dataclasses.replace(attack.good(), target_uri=target_uri, method=method)
    lines = attack.component_lines(request, attack.COVERED.split(" "))
    return attack.resigned(request, f"countermark=({attack.COVERED}){attack.parameters()}", lines)


@pytest.mark.parametrize(
    "method",
    ["post", "Post", "POST ", " POST", "PO\nST", "", "HEAD", "OPTIONS", "CONNECT", "TRACE", "POſT", "get"],
)
def test_a_method_in_another_case_or_of_another_kind_is_refused(method: str) -> None:
    with attack.refused("method_not_canonical") as refusal:
        attack.accept(_signed_for(f"{attack.ORIGIN}/v1/payments", method))

    assert (refusal.value.code, refusal.value.status) == ("method_not_canonical", 400)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_request_signed_for_one_method_is_refused_under_another(method: str) -> None:
    with attack.refused("signature_invalid"):
        attack.accept(dataclasses.replace(attack.good(), method=method))
