"""Signing inside other HTTP libraries: what is signed is what they really send.

Each module needs its library, which is loaded by whoever uses it and by nobody
else: `requests_auth`, `httpx_auth`, `aiohttp_middleware`, and the transports of the
awaiting client, `httpx_transport` and `aiohttp_transport`.
"""

from __future__ import annotations
