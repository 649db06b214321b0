"""Forwarding events to a server on this machine, as webhooks that are signed as the gateway signs them.

The key is not the gateway's: it stands for it while a receiver is being built. Plain HTTP goes to this
machine alone, because an event tells what a merchant earns.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .digest import content_digest
from .errors import UnsignableRequest
from .webhook import sign_webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .keys import SigningKey

FORWARD_S_MAX: Final = 15.0  # what the gateway grants a receiver
_ANSWER_BYTES_MAX: Final = 16 * 1024
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Forwarder:
    """Sends events to one URL.

    Args:
        url: `http://` on this machine, or `https://` anywhere.
        key: Ed25519; the receiver is told its public half.
        now: seconds since the epoch, UTC.

    Raises:
        UnsignableRequest: the URL is none of these.
    """

    def __init__(self, url: str, key: SigningKey, now: Callable[[], float]) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise UnsignableRequest("the URL to forward to has a port from 1 to 65535") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise UnsignableRequest("the URL to forward to is http://localhost:PORT/path, or https")
        if parts.scheme == "http" and parts.hostname not in _HERE:
            raise UnsignableRequest(
                "events go in clear to this machine alone: forward to localhost, or https"
            )
        if not url.isascii() or not url.isprintable() or " " in url:
            raise UnsignableRequest("the URL to forward to is printable ASCII without spaces")
        self._host, self._port, self._is_plain = parts.hostname, port, parts.scheme == "http"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._key = key
        self._now = now

    def send(self, event: Mapping[str, Any]) -> int:
        """Send one event and return the status of the answer; no redirect is followed.

        Raises:
            OSError: nobody answered; TimeoutError and ssl.SSLError are of these.
        """
        body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        headers = {
            "Content-Type": "application/json",
            "Content-Digest": content_digest(body),
            "Countermark-Event-Sequence": str(event["sequence"]),
            **dict(sign_webhook(str(event["id"]), int(self._now()), body, self._key)),
        }
        connection = self._open()
        try:
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES_MAX)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer is no HTTP ({type(error).__name__})") from error
        else:
            return answer.status
        finally:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        if self._is_plain:
            return http.client.HTTPConnection(self._host, self._port, timeout=FORWARD_S_MAX)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=FORWARD_S_MAX, context=context)
