"""Where a webhook may go: forms of URLs, public addresses, exact allowances."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.addresses import (
    Target,
    check_address,
    check_port,
    choose_addresses,
    is_public,
    parse_allowances,
    parse_target,
)
from services.notifications.errors import AddressRefused, AllowanceMalformed, URLRefused

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
NOWHERE = frozenset({(ip_address("127.0.0.1"), 8444)})


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example.com", "hooks.example.com", 443),
        ("https://hooks.example.com:8443/a/b?c=%20&d", "hooks.example.com", 8443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://8.8.8.8/x", "8.8.8.8", 443),
        ("https://[2606:4700::1111]:443/x", "2606:4700::1111", 443),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, host: str, port: int) -> None:
    target = parse_target(url)

    assert (host, port) == (target.host, target.port)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "HTTPS://hooks.example.com/",
        "https:hooks.example.com/",
        "https:///hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://user:word@hooks.example.com/",
        "https://hooks.example.com@127.0.0.1/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/a\r\nX: y",
        "https://hooks.example.com/\n",
        "https://hooks.example.com:/",
        "https://hooks.example.com:0443/",
        "https://hooks.example.com:+443/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:65536/",
        "https://hooks.example.com:4４3/",
        "https://hooks.example.com./",
        "https://hooks..example.com/",
        "https://-hooks.example.com/",
        "https://Hooks.example.com/",
        "https://bücher.example/",
        "https://localhost/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1.5/",
        "https://::1/",
        "https://[127.0.0.1]/",
        "https://[::1%25lo]/",
        "https://[::1/",
        "https://hooks.example.com/" + "a" * 2048,
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(URLRefused):
        parse_target(url)


@given(st.text(max_size=60))
def test_a_url_is_parsed_or_refused_and_nothing_else(tail: str) -> None:
    try:
        target = parse_target("https://" + tail)
    except URLRefused:
        return
    assert "@" not in tail.partition("/")[0]
    assert 0 < target.port < 65_536


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
        "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
        "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
        "2606:4700::1%eth0",
    ],
)  # fmt: skip
def test_these_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"]
)
def test_these_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(v4)
def test_no_public_ipv4_address_is_special(address: IPv4Address) -> None:
    special = (
        address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_reserved or address.is_unspecified or not address.is_global
    )  # fmt: skip

    assert not (is_public(address) and special)


@given(v6)
def test_no_public_ipv6_address_is_special(address: IPv6Address) -> None:
    special = (
        address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_reserved or address.is_unspecified or address.is_site_local or not address.is_global
    )  # fmt: skip

    assert not (is_public(address) and special)


@given(v4, st.sampled_from(["::ffff:0:0", "::", "64:ff9b::", "2002::", "2001::"]))
def test_no_ipv4_address_gets_out_inside_an_ipv6_one(inner: IPv4Address, prefix: str) -> None:
    shift = 80 if prefix == "2002::" else 0
    outer = IPv6Address(int(IPv6Address(prefix)) | int(inner) << shift)

    assert not is_public(outer)


@given(st.lists(v4 | v6, min_size=1, max_size=5))
def test_one_private_address_refuses_the_whole_name(addresses: list[IPv4Address | IPv6Address]) -> None:
    if all(is_public(address) for address in addresses):
        assert addresses == choose_addresses(str(address) for address in addresses)
    else:
        with pytest.raises(AddressRefused):
            choose_addresses(str(address) for address in addresses)


def test_a_name_that_is_public_and_private_at_once_is_refused() -> None:
    assert [ip_address("8.8.8.8")] == choose_addresses(["8.8.8.8"])
    for resolved in (["8.8.8.8", "127.0.0.1"], [], ["nonsense"]):
        with pytest.raises(AddressRefused):
            choose_addresses(resolved)


@given(v4 | v6, st.integers(1, 65_535))
def test_an_address_passes_only_if_public_or_listed_with_its_port(
    address: IPv4Address | IPv6Address, port: int
) -> None:
    allowed = frozenset({(address, port)})
    check_address(address, port, allowed)

    if not is_public(address):
        with pytest.raises(AddressRefused):
            check_address(address, port % 65_535 + 1, allowed)


@pytest.mark.parametrize(
    ("url", "passes"),
    [
        ("https://127.0.0.1:8444/", True),
        ("https://127.0.0.1:8443/", False),
        ("https://127.0.0.1/", False),
        ("https://127.0.0.2:8444/", False),
        ("https://hooks.example.com:8444/", False),
        ("https://hooks.example.com:8443/", True),
        ("https://hooks.example.com:22/", False),
        ("https://8.8.8.8:6379/", False),
        ("https://8.8.8.8/", True),
    ],
)
def test_ports_are_the_usual_ones_or_listed(url: str, passes: bool) -> None:
    target: Target = parse_target(url)
    if passes:
        check_port(target, NOWHERE)
        return
    with pytest.raises(AddressRefused):
        check_port(target, NOWHERE)


def test_an_allowance_is_an_exact_address_and_port() -> None:
    allowed = parse_allowances(["127.0.0.1:8443", "[::1]:443"])

    assert {(ip_address("127.0.0.1"), 8443), (ip_address("::1"), 443)} == allowed


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "localhost:1", "hooks.example.com:443", "127.0.0.0/8:1", "127.0.0.1:1/", "[::1]", "::1:443",
     "127.0.0.1:*", "*:443", "127.0.0.1:443?x", "", "127.0.0.1:0"],
)  # fmt: skip
def test_no_name_range_or_open_port_can_be_allowed(text: str) -> None:
    with pytest.raises(AllowanceMalformed):
        parse_allowances([text])
