"""A workload identity has one spelling, and nothing else parses."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import IdentityError
from pki.identity import WorkloadIdentity, dns_name, spiffe_id

NAMES = st.from_regex(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z0-9]{1,20}\.[a-z][a-z0-9]{0,20}", fullmatch=True)


def test_one_name_gives_the_spiffe_id_and_the_dns_name() -> None:
    identity = WorkloadIdentity("countermark.internal", "gateway-sidecar")

    assert str(identity) == "spiffe://countermark.internal/gateway-sidecar"
    assert identity.dns_name == "gateway-sidecar.countermark.internal"


@given(NAMES, DOMAINS)
def test_what_is_printed_parses_to_the_same_identity(name: str, trust_domain: str) -> None:
    text = spiffe_id(name, trust_domain)

    assert WorkloadIdentity(trust_domain, name) == WorkloadIdentity.parse(text)
    assert text == str(WorkloadIdentity.parse(text))


@given(st.text(alphabet=string.printable + "éА", max_size=60))
def test_whatever_parses_is_spelled_exactly_that_way(text: str) -> None:
    try:
        identity = WorkloadIdentity.parse(f"spiffe://countermark.internal/{text}")
    except IdentityError:
        return

    assert identity.name == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gateway",
        "spiffe://countermark.internal",
        "spiffe://countermark.internal/",
        "spiffe://countermark.internal/gateway/",
        "spiffe://countermark.internal/a/b",
        "spiffe://countermark.internal//gateway",
        "spiffe://countermark.internal/Gateway",
        "spiffe://Countermark.internal/gateway",
        "SPIFFE://countermark.internal/gateway",
        "spiffe://countermark.internal:443/gateway",
        "spiffe://user@countermark.internal/gateway",
        "spiffe://countermark.internal/gateway?x=1",
        "spiffe://countermark.internal/gateway#x",
        "spiffe://countermark.internal/%67ateway",
        "spiffe://countermark.internal/gateway\n",
        "spiffe://countermark.internal/gateway\0",
        "spiffe://countermark.internal./gateway",
        "spiffe://.countermark.internal/gateway",
        "spiffe://internal/gateway",
        "spiffe://127.0.0.1/gateway",
        "https://countermark.internal/gateway",
        "spiffe://countermark.internal/" + "a" * 1000,
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        WorkloadIdentity.parse(text)


@pytest.mark.parametrize("name", ["", "-a", "a-", "1a", "a.b", "a_b", "A", "ä", "a" * 32, "..", "a/b"])
def test_a_name_that_is_no_dns_label_of_ours_is_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        dns_name(name, "countermark.internal")


def test_the_longest_name_and_trust_domain_are_accepted() -> None:
    domain = f"{'a' * 55}.internal"

    assert f"{'b' * 31}.{domain}" == dns_name("b" * 31, domain)
    with pytest.raises(IdentityError):
        dns_name("b", f"a{domain}")
