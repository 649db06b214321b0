"""Decide where a webhook may go: the URL's form, and whether an address is public.

Pure: nothing is resolved here; `egress.py` asks these functions and connects to the very address that passed.
An explicit list of what is not public, because `ip.is_global` alone lets NAT64, 6to4 and multicast through.
Source: IANA special-purpose address registries (RFC 6890); RFC 6052, 3056, 4380, 9637.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from services.notifications.errors import AddressRefused, AllowanceMalformed, URLRefused

# Longer than any real endpoint; servers commonly refuse lines of 8 KiB.
URL_CHARS_MAX = 2048
HOST_CHARS_MAX = 253
PORT_DEFAULT = 443
# What receivers of HTTPS listen on. Other ports are other services: mail, caches, databases.
PORTS_PUBLIC = frozenset({443, 8443})
PORT_MAX = 65_535

# Endpoints are sent to again and again; taking a URL apart is a tenth of an attempt, and 3 kB at the most.
TARGETS_KEPT = 10_000

Address: TypeAlias = IPv4Address | IPv6Address
# An exact address and port that the operator lets be non-public.
Allowance: TypeAlias = tuple[Address, int]

# No user information, fragment or backslash, nothing that parsers disagree on. The port has one spelling.
_URL = re.compile(
    r"https://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<target>/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)?",
    re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

_V4_REFUSED = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, clouds' metadata
        "192.0.2.0/24",  # documentation
        "192.52.193.0/24",  # automatic multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Everything outside global unicast is refused at once: loopback, mapped, NAT64, local, link-local, multicast.
_V6_UNICAST = IPv6Network("2000::/3")
_V6_REFUSED = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries any IPv4 address
        "3fff::/20",  # documentation
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its plain form: `host` without brackets; `literal` is set if the host is an address."""

    host: str
    port: int
    literal: Address | None


@lru_cache(TARGETS_KEPT)
def parse_target(url: str) -> Target:
    """Take a webhook URL apart; anything but the plain form is refused rather than interpreted.

    Raises:
        URLRefused: Not `https://host[:port][/path][?query]`, or a host that resolvers would read as a number.
    """
    match = _URL.fullmatch(url) if len(url) <= URL_CHARS_MAX else None
    if match is None:
        raise URLRefused(
            "a webhook URL is https://host[:port][/path][?query], lower-case host, no user, no fragment"
        )
    host, port = match["host"], int(match["port"] or PORT_DEFAULT)
    if port > PORT_MAX:
        raise URLRefused(f"there is no port {port}")
    return Target(host=host.strip("[]"), port=port, literal=_literal(host))


def _literal(host: str) -> Address | None:
    """Return the address if `host` is one.

    Raises:
        URLRefused: Neither an address in its usual spelling nor a DNS name of two labels or more.
    """
    bracketed = host.startswith("[")
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        address = None
    if address is not None and bracketed == isinstance(address, IPv6Address):
        return address
    labels = host.split(".")
    # If the last label starts with a digit, resolvers read `127.1`, `0x7f.1`, `2130706433` as an address.
    named = (
        len(host) <= HOST_CHARS_MAX
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and labels[-1][0].isalpha()
    )
    if not named:
        raise URLRefused(f"{host[:64]!r} is neither a DNS name nor an address in its usual spelling")
    return None


def is_public(address: Address) -> bool:
    """Say whether anybody on the internet could reach `address` with no help of ours."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _V4_REFUSED)
    return (
        address.scope_id is None
        and address.is_global
        and address in _V6_UNICAST
        and not any(address in network for network in _V6_REFUSED)
    )


def check_port(target: Target, allowed: frozenset[Allowance]) -> None:
    """Let the usual ports pass, and literal addresses that the operator listed with their port.

    Raises:
        AddressRefused: Another port, or a literal address that is not public.
    """
    if target.literal is not None:
        check_address(target.literal, target.port, allowed)
        if (target.literal, target.port) in allowed:
            return
    if target.port not in PORTS_PUBLIC:
        raise AddressRefused(f"port {target.port} is not one of {sorted(PORTS_PUBLIC)}")


def check_address(address: Address, port: int, allowed: frozenset[Allowance]) -> None:
    """Let a public address pass, or one listed with exactly this port.

    Raises:
        AddressRefused: Anything else.
    """
    if not is_public(address) and (address, port) not in allowed:
        raise AddressRefused("the address is not public")


def choose_addresses(resolved: Iterable[str]) -> list[Address]:
    """Return what a DNS name resolved to, if every one of it is public.

    One private address among public ones refuses the name: it is a trick or a mistake, and which of them
    would be connected to is not ours to bet on. Names get no allowance: only literal addresses can be listed.

    Raises:
        AddressRefused: None, unreadable ones, or one that is not public.
    """
    try:
        addresses = [ip_address(text) for text in resolved]
    except ValueError as fault:
        raise AddressRefused("the name resolved to something that is no address") from fault
    if not addresses:
        raise AddressRefused("the name resolved to nothing")
    for address in addresses:
        if not is_public(address):
            raise AddressRefused("the name leads to an address that is not public")
    return addresses


def parse_allowances(texts: Iterable[str]) -> frozenset[Allowance]:
    """Parse `127.0.0.1:8443` or `[::1]:8443`, as the configuration lists them.

    Raises:
        AllowanceMalformed: A name, a range, no port, or an unusual spelling.
    """
    found = set()
    for text in texts:
        try:
            target = parse_target(f"https://{text}")
        except URLRefused as fault:
            raise AllowanceMalformed(f"{text[:64]!r} is not IP:port") from fault
        if target.literal is None or text.endswith("]") or ":" not in text or "/" in text or "?" in text:
            raise AllowanceMalformed(f"{text[:64]!r} is not IP:port; names and ranges cannot be allowed")
        found.add((target.literal, target.port))
    return frozenset(found)
