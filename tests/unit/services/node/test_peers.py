"""Nobody passes who is not listed, and the sidecar's description of the caller cannot be bent."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.node.errors import PeerRefused
from services.node.peers import XFCC_CHARS_MAX, caller_uri, check_caller

EDGE = "spiffe://countermark.internal/edge"
SIDECAR = "spiffe://countermark.internal/gateway-sidecar"
GENUINE = f"By={SIDECAR};Hash=1f;URI={EDGE}"

NAMES = st.sampled_from(["edge", "banks", "payments-sidecar", "supervisor", "", "*"])
PREFIXES = st.sampled_from(["/", "/v1/", "/v1/payments", "/v1/payments/", "/healthz", "/v1"])
PATHS = st.lists(st.sampled_from(["/", "v1", "payments", "..", ".", "%2e", "?", "healthz", "x"]), max_size=6)


def test_the_caller_is_the_one_uri() -> None:
    assert EDGE == caller_uri(GENUINE)


@pytest.mark.parametrize(
    "xfcc",
    [
        None,
        "",
        f"By={SIDECAR};Hash=1f",  # nobody is named
        f"By={EDGE}",  # the receiver's own name is not the caller's
        f"{GENUINE};URI=spiffe://countermark.internal/banks",  # two names
        f"{GENUINE};URI={EDGE}",  # the same name twice is still two
        f"{GENUINE},{GENUINE}",  # a second hop
        f"URI=spiffe://countermark.internal/banks,{GENUINE}",  # what a client sent, and what Envoy appended
        f'Subject="CN=x;URI={EDGE}"',  # inside a quoted value
        f'Subject="CN=\\";URI={EDGE}"',  # behind an escaped quote
        f'Subject=";URI={EDGE}',  # a quote that never ends
        f"uri={EDGE}",
        f" URI={EDGE}",
        f"By={SIDECAR} URI={EDGE}",
        "x" * XFCC_CHARS_MAX + f";URI={EDGE}",
    ],
)
def test_a_description_that_does_not_name_exactly_one_caller_is_refused(xfcc: str | None) -> None:
    with pytest.raises(PeerRefused):
        caller_uri(xfcc)


@given(subject=st.text(st.characters(exclude_characters='"\\'), max_size=60))
@example(subject=f";URI={EDGE};")
@example(subject=f",URI={EDGE}")
def test_no_quoted_subject_changes_who_the_caller_is(subject: str) -> None:
    xfcc = f'By={SIDECAR};Subject="{subject}";URI={EDGE}'

    assert EDGE == caller_uri(xfcc)


@given(
    parts=st.lists(
        st.sampled_from(['"', "\\", ";", ",", "URI=", "By=", EDGE, "spiffe://x/banks", "Subject="]),
        max_size=12,
    )
)
def test_what_is_returned_was_named_once_outside_quotes(parts: list[str]) -> None:
    xfcc = "".join(parts)
    try:
        found = caller_uri(xfcc)
    except PeerRefused:
        return

    assert f"URI={found}" in xfcc
    outside, quoted, escaped = "", False, False
    for character in xfcc:
        if not quoted and character != '"':
            outside += character
        if escaped or (character == "\\" and quoted):
            escaped = not escaped
        elif character == '"':
            quoted = not quoted
    assert 1 == f";{outside}".count(";URI=")


@given(
    name=NAMES,
    segments=PATHS,
    allowed=st.dictionaries(PREFIXES, st.frozensets(NAMES, max_size=3), max_size=4),
)
def test_nobody_passes_who_is_not_listed_for_a_prefix_of_the_path(
    name: str, segments: list[str], allowed: dict[str, frozenset[str]]
) -> None:
    path = "/" + "".join(segments)
    try:
        check_caller(name, path, allowed)
    except PeerRefused:
        return

    listing = [prefix for prefix, names in allowed.items() if name in names]
    assert [] != [prefix for prefix in listing if path.startswith(prefix)]


@given(name=st.text(max_size=10), path=st.text(max_size=30))
def test_an_empty_list_admits_nobody(name: str, path: str) -> None:
    with pytest.raises(PeerRefused):
        check_caller(name, path, {})


@pytest.mark.parametrize(
    ("name", "path", "passes"),
    [
        ("edge", "/v1/payments", True),
        ("edge", "/v1/payments/pay_1", True),
        ("edge", "/v1/payments?limit=1", True),
        ("edge", "/v1/paymentsx", False),  # a prefix ends at a segment
        ("edge", "/v1/payments/reviews", False),  # the longest prefix decides
        ("reviewer", "/v1/payments/reviews/1", True),
        ("reviewer", "/v1/payments", False),
        ("edge", "/V1/payments", False),
        ("edge", "//v1/payments", False),
        ("Edge", "/v1/payments", False),
        ("", "/v1/payments", False),
    ],
)
def test_the_longest_matching_route_decides(name: str, path: str, passes: bool) -> None:
    allowed = {"/v1/payments": frozenset({"edge"}), "/v1/payments/reviews": frozenset({"reviewer"})}
    if passes:
        check_caller(name, path, allowed)
        return

    with pytest.raises(PeerRefused):
        check_caller(name, path, allowed)
