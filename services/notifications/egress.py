"""The way out: HTTPS to receivers whose addresses were checked, and to exactly these addresses.

A name is resolved once; what passed the check is what gets connected to, and the socket is opened only after
the address was checked a second time, so that no rebinding, literal or bug on the way gets around it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from services.notifications.addresses import Allowance, check_address, choose_addresses

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

# The whole attempt, name and handshake included. Source: Standard Webhooks 1.0.0 recommends 15 to 30 s.
ATTEMPT_S_MAX = 15.0
# Below the 5 s after which common servers close an idle connection, so that few requests meet a closing one.
KEEPALIVE_S_MAX = 4.0
# A name with more addresses than this has no use for the rest of them.
ADDRESSES_MAX = 8
# One question may take the resolver tens of seconds and cannot be cut short; a thread waits for it.
RESOLUTIONS_MAX = 64
# Answers are not read for content; a header section beyond this is an attack on memory.
HEADER_BYTES_MAX = 8 * 1024


class CheckedResolver(AbstractResolver):
    """Resolves names by the system's resolver and refuses those that lead inside.

    With threads of its own: a receiver's slow name server must not use up those that everybody shares.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLUTIONS_MAX, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of `host` as numbers.

        Raises:
            AddressRefused: One of them is not public.
            OSError: The name does not resolve.
        """
        loop = asyncio.get_running_loop()
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await loop.run_in_executor(self._threads, ask)
        addresses = choose_addresses(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004 - IP version
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses[:ADDRESSES_MAX]
        ]

    async def close(self) -> None:
        """Let go of the threads; one that waits for a name server ends with its question."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _checked_socket_factory(allowed: frozenset[Allowance]) -> aiohttp.SocketFactoryType:
    def open_socket(address_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, sockaddr = address_info
        check_address(ip_address(str(sockaddr[0])), int(sockaddr[1]), allowed)
        return socket.socket(family, kind, protocol)

    return open_socket


def trust_context(trust_file: str) -> ssl.SSLContext:
    """Verify receivers as browsers do: the system's authorities, and those of `trust_file` if it is named.

    Raises:
        OSError: The file cannot be read; ssl.SSLError is one of these.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust_file:
        context.load_verify_locations(trust_file)
    return context


def open_egress(
    allowed: frozenset[Allowance], *, trust_file: str, connections_max: int
) -> aiohttp.ClientSession:
    """Return the one session that webhooks leave through; the caller closes it.

    Receivers of two merchants may share a host: no cookies, and no bound per host, where one would wait for
    the other (the sender bounds each endpoint). No proxy from the environment, no decompression.
    """
    connector = aiohttp.TCPConnector(
        ssl=trust_context(trust_file),
        resolver=CheckedResolver(),
        use_dns_cache=False,
        limit=connections_max,
        keepalive_timeout=KEEPALIVE_S_MAX,
        socket_factory=_checked_socket_factory(allowed),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=ATTEMPT_S_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
