"""Make one attempt: sign the stored bytes afresh, send them, say what came of it.

Promises: the body is the event to the byte; no redirect is followed; the answer's body is thrown away after a
bounded look; an answer counts as soon as its status is there. Source: Standard Webhooks 1.0.0; RFC 9530.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from services.node import tracing
from services.node.logs import get_log
from services.node.trace_context import span_id_of
from services.notifications.addresses import Allowance, check_port, parse_target
from services.notifications.errors import AddressRefused, SecretUnreadable, URLRefused
from services.notifications.schedule import Answered, Attempt, Unanswered, parse_retry_after
from services.notifications.sealing import SecretOpener
from services.notifications.store import Delivery
from signing import SigningKey, WebhookSecret, sign_webhook
from signing.digest import content_digest

SEQUENCE_HEADER = "Countermark-Event-Sequence"
USER_AGENT = "Countermark-Webhooks/1"
# Reading a short answer to its end lets the connection be used again; a longer one is cut off.
ANSWER_BYTES_MAX = 16 * 1024
# The status is known by then; waiting for the rest of a dribbling answer would hold a place for nothing.
ANSWER_REST_S_MAX = 1.0
# Opening a seal takes 0.13 ms, an attempt without one 0.5 ms; each entry has about 300 bytes.
OPENED_MAX = 10_000

_log = get_log("notifications.courier")


class Courier:
    """Sends deliveries through one session, signed with one key, and an endpoint's secrets if it has any.

    Args:
        session: From `egress.open_egress` with the same `allowed`.
        key: Ed25519.
        opener: Opens the secrets.
        allowed: Exact non-public addresses that the operator lists.
        now: The clock, UTC.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        key: SigningKey,
        opener: SecretOpener,
        allowed: frozenset[Allowance],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._key = key
        self._opener = opener
        self._opened: OrderedDict[tuple[str, int, bytes], WebhookSecret] = OrderedDict()
        self._allowed = allowed
        self._now = now

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Send `delivery` once; every way in which the receiver can fail is a result, not an exception."""
        try:
            check_port(parse_target(delivery.url), self._allowed)
            return await self._send(delivery)
        except (URLRefused, AddressRefused) as refusal:
            return Unanswered(refusal.code)
        except SecretUnreadable as fault:
            # A webhook without the signature that its receiver checks would be refused, and be no use.
            _log.error("a secret cannot be opened", endpoint_id=delivery.endpoint_id)
            return Unanswered(fault.code)
        except ssl.SSLError:
            return Unanswered("tls-failed")
        except aiohttp.ClientConnectorDNSError:
            return Unanswered("name-not-resolved")
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
            return Unanswered("tls-failed")
        except aiohttp.ClientConnectorError:
            return Unanswered("not-connected")
        except TimeoutError:
            return Unanswered("timed-out")
        except (aiohttp.ClientError, OSError):
            return Unanswered("broken-off")
        except Exception as fault:  # noqa: BLE001 - whatever a receiver provokes stays the failure of its delivery
            _log.error(
                "an attempt failed in an unforeseen way",
                fault=type(fault).__name__, endpoint_id=delivery.endpoint_id,
            )  # fmt: skip
            return Unanswered("unforeseen")

    async def _send(self, delivery: Delivery) -> Attempt:
        async with self._session.post(
            URL(delivery.url, encoded=True),
            data=delivery.body,
            headers=self._headers(delivery),
            allow_redirects=False,
        ) as response:
            await _discard(response)
            wish = response.headers.get("Retry-After")
            return Answered(response.status, parse_retry_after(wish, now=self._now()))

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        moment = int(self._now().timestamp())
        return {
            "Content-Type": "application/json",
            "Content-Digest": content_digest(delivery.body),
            SEQUENCE_HEADER: str(delivery.sequence),
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            **(
                tracing.headers_for(delivery.payment_id, webhook_span_id(delivery))
                if tracing.is_told()
                else {}
            ),
            **dict(
                sign_webhook(
                    delivery.event_id, moment, delivery.body, self._key, secrets=self._secrets_of(delivery)
                )
            ),
        }

    def _secrets_of(self, delivery: Delivery) -> list[WebhookSecret]:
        """Open what is sealed, once while it is in use.

        Raises:
            SecretUnreadable: One of them does not open.
        """
        secrets = []
        for generation, sealed in delivery.sealed:
            name = (delivery.endpoint_id, generation, sealed)
            secret = self._opened.pop(name, None) or WebhookSecret(
                self._opener.open(sealed, delivery.endpoint_id, generation)
            )
            self._opened[name] = secret
            if len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
            secrets.append(secret)
        return secrets


def webhook_span_id(delivery: Delivery) -> int:
    """Return the id of the span of one attempt to deliver, which the receiver is told beforehand."""
    return span_id_of("webhook", f"{delivery.event_id}\n{delivery.endpoint_id}\n{delivery.claim}")


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Read to the end if that is near, else cut the connection; either way the status stands."""
    try:
        async with asyncio.timeout(ANSWER_REST_S_MAX):
            left = ANSWER_BYTES_MAX
            while left > 0:
                chunk = await response.content.read(left)
                if not chunk:
                    return
                left -= len(chunk)
    except (TimeoutError, aiohttp.ClientError):
        pass
    response.close()
