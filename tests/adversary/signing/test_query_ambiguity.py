"""Attack 28: queries that two programs read differently (RFC 9421 §7.5.8)."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import Request, TargetNotCanonical, sign_request
from tests.adversary.signing import attacked_request as attack

_PATH = f"{attack.ORIGIN}/v1/payments"


def _inquiry(query: str) -> Request:
    """Sign a GET honestly, whatever its query: a refusal is then of the query alone."""
    request = Request("GET", f"{_PATH}?{query}", (), None)
    lines = ['"@method": GET', f'"@target-uri": {request.target_uri}']
    return attack.resigned(request, f'countermark=("@method" "@target-uri"){attack.parameters()}', lines)


@pytest.mark.parametrize(
    "query",
    [
        "a=1&a=2", "a=1&a=1", "b=1&a=2", "a=1;b=2", "a=1&b", "a=1&", "&a=1", "a", "=1", "", "a=%31",
        "a=1%262",
        "a=1+2", "a[]=1", "a[gte]=1", "a=1&A=2", "a==1", "a=1?b=2", "a=é", "a=\u0661",
    ],
)  # fmt: skip
def test_a_query_with_two_readings_is_refused(query: str) -> None:
    with attack.refused("target_not_canonical"):
        attack.accept(_inquiry(query))


_name = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
_value = st.from_regex(r"[A-Za-z0-9_.-]{0,8}", fullmatch=True)


@given(st.dictionaries(_name, _value, min_size=1, max_size=5))
def test_what_is_accepted_is_read_the_same_by_a_form_parser(parameters: dict[str, str]) -> None:
    query = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    verified = attack.accept(_inquiry(query))

    assert sorted(parameters.items()) == parse_qsl(
        verified.request.target_uri.partition("?")[2], keep_blank_values=True, strict_parsing=True
    )


@given(st.text("ab=&;+%[]12.", max_size=12))
def test_any_query_is_refused_or_has_sorted_names_that_occur_once(query: str) -> None:
    try:
        verified = attack.accept(_inquiry(query))
    except TargetNotCanonical:
        return
    names = [pair.partition("=")[0] for pair in verified.request.target_uri.partition("?")[2].split("&")]

    assert sorted(set(names)) == names


def test_a_form_is_no_second_place_for_parameters() -> None:
    body = b"amount_minor=1999"
    request = attack.changed(
        attack.good(body=body), "content-type", lambda _: "application/x-www-form-urlencoded"
    )
    with attack.refused("unsupported_media"):
        attack.accept(request)


def test_a_query_added_on_the_way_breaks_the_signature() -> None:
    request = Request("GET", _PATH, (), None)
    request = request.with_headers(sign_request(request, attack.ALICE, now=attack.NOW, nonce=attack.NONCE))
    with attack.refused("signature_invalid"):
        attack.accept(dataclasses.replace(request, target_uri=f"{_PATH}?limit=1"))
