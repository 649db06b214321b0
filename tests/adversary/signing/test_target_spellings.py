"""Attacks 19, 24 and 25 at the verifier: targets in a second spelling, each rightly signed for it."""

from __future__ import annotations

import dataclasses

import pytest

from signing import Request, sign_request
from tests.adversary.signing import attacked_request as attack

_TRICKS = [
    "/v1//payments",
    "/v1/./payments",
    "/v1/../v1/payments",
    "/v1/x/../payments",
    "/v1/payments/",
    "/v1/payments/.",
    "/v1/%70ayments",
    "/v1%2Fpayments",
    "/v1/payments%00",
    "/v1/payments%",
    "/v1\\payments",
    "/v1/payments?",
    "/v1/payments#",
    "/v1/payments#a",
    "/v1/payments;x=1",
    "/v1/payments?a=1#b",
    "/v1/payments ",
    " /v1/payments",
    "/v1/payments\n",
    "/v1/payments\r\nX: y",
    "/v1/payments\x00",
    "/v1/payments\t",
    "/v1/pay ments",
    "/v1/payménts",
    "/v1/paymentſ",
    "/V1/payments",
    "/v1",
    "/v1/",
    "/",
    "",
    "//v1/payments",
    "/v2/payments",
    "v1/payments",
    "/v1/pay.ments",
    "/v1/~payments",
    "/v1/pay+ments",
    "/v1/*",
    "/v1/payments?a",
    "/v1/payments?=1",
    "/v1/payments?a=1&",
    "/v1/payments?&a=1",
    "/v1/payments?a=1&&b=2",
    "/v1/payments?b=1&a=2",
    "/v1/payments?a=1&a=1",
    "/v1/payments?a=1&a=2",
    "/v1/payments?a=%31",
    "/v1/payments?a=1+1",
    "/v1/payments?a[gte]=1",
    "/v1/payments?a=1;b=2",
    "/v1/payments?a=1?b=2",
    "/v1/payments?a=/",
    "/v1/payments?a=é",
    "/v1/payments?a=b=c",
    "/v1/" + "a" * 2100,
]


_ORIGINS = [
    "http://edge.countermark.internal:8443",
    "https://evil.example",
    "https://edge.countermark.internal",
    "https://EDGE.countermark.internal:8443",
    "https://edge.countermark.internal:08443",
    "https://edge.countermark.internal:8443:1",
    "https://user@edge.countermark.internal:8443",
    "https://edge.countermark.internal.:8443",
    "https:/edge.countermark.internal:8443",
    "//edge.countermark.internal:8443",
    "",
    "https://edge.countermark.internal:8443/https://edge.countermark.internal:8443",
    " https://edge.countermark.internal:8443",
    "https://edge.countermark.internal:8443@evil.example",
    "https://[::1]:8443",
    "HTTPS://edge.countermark.internal:8443",
]


def _signed_for(target_uri: str, method: str = "POST") -> Request:
    """Sign honestly for a target or method that the library itself would refuse to sign for."""
    request = dataclasses.replace(attack.good(), target_uri=target_uri, method=method)
    lines = attack.component_lines(request, attack.COVERED.split(" "))
    return attack.resigned(request, f"countermark=({attack.COVERED}){attack.parameters()}", lines)


def test_the_way_these_attacks_are_signed_is_accepted_when_nothing_is_changed() -> None:
    verified = attack.accept(_signed_for(f"{attack.ORIGIN}/v1/payments?a=1&b=x.y_z-"))

    assert attack.ALICE.key_id == verified.key_id


@pytest.mark.parametrize("path", _TRICKS, ids=ascii)
def test_a_path_or_query_with_a_second_spelling_is_refused(path: str) -> None:
    with attack.refused("target_not_canonical") as refusal:
        attack.accept(_signed_for(attack.ORIGIN + path))

    assert (refusal.value.code, refusal.value.status) == ("target_not_canonical", 400)


@pytest.mark.parametrize("origin", _ORIGINS, ids=ascii)
def test_any_origin_but_the_configured_ones_is_refused(origin: str) -> None:
    with attack.refused("target_not_canonical"):
        attack.accept(_signed_for(f"{origin}/v1/payments"))


def test_a_request_signed_for_one_target_is_refused_at_another() -> None:
    for path in ("/v1/refunds", "/v1/payments/a", "/v1/payments?a=1"):
        with attack.refused("signature_invalid"):
            attack.accept(dataclasses.replace(attack.good(), target_uri=attack.ORIGIN + path))


@pytest.mark.parametrize(
    "origin",
    ["https://pay.example:443", "https://pay.example:0443", "https://pay.example:", "https://PAY.example",
     "https://pay.example.", "https://pay..example", "http://pay.example", "https://[::1", "https://pay.example:99999x"],
)  # fmt: skip
def test_the_signer_signs_for_no_origin_that_has_another_spelling(origin: str) -> None:
    request = dataclasses.replace(attack.unsigned(), target_uri=f"{origin}/v1/payments")
    with attack.refused("unsignable_request"):
        sign_request(request, attack.ALICE, now=attack.NOW, nonce=attack.NONCE)
