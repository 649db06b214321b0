"""A client of the gateway that blocks: sign, send, verify the receipt, ask again where that is safe.

No result is returned whose receipt was not verified, and no operation gets a second
idempotency key. Safe for several threads, if the signer is; the default one is.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, Self

from . import profile
from .answers import ANSWER_S_MAX
from .errors import UnsignableRequest
from .exchange import Party, Send, Sign, Sleep, Surroundings, conduct
from .gateway_keys import GatewayKeys
from .instruments import Instruments
from .key_operations import Keys
from .operations import Evidence, Payments, Refunds
from .reading import Accounts, Disputes, Events
from .retries import RetryPolicy
from .webhook_operations import Deliveries, WebhookEndpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from .answers import Answer
    from .calls import Call
    from .exchange import StepResult
    from .keys import Signer, VerifyingKey
    from .transport import Transport

_PORT_MAX: Final = 65535  # larger ones would be taken modulo 65536 by the system: another port than is signed
_RANDOM_BYTES: Final = 24  # 192 bits, 32 characters: nonces and idempotency keys never meet by chance
_chance = secrets.SystemRandom().random


def random_text() -> str:
    """Return a fresh nonce or idempotency key."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def real_surroundings() -> Surroundings:
    """Return the world as it is."""
    return Surroundings(now=time.time, elapsed=time.monotonic, chance=_chance, nonce=random_text)


def require_origin(base_url: str) -> str:
    """Return the gateway's address as it is signed.

    Raises:
        UnsignableRequest: it is not `https://host` or `https://host:port`, lower case, without `:443`.
    """
    origin = base_url.removesuffix("/")
    port = origin.rpartition(":")[2]
    if profile.CANONICAL_ORIGIN.fullmatch(origin) is None or (port.isdecimal() and int(port) > _PORT_MAX):
        raise UnsignableRequest(
            "the gateway's address must be https://host or https://host:port, lower case, without :443"
        )
    return origin


class Gateway:
    """The gateway, as one merchant's key speaks with it.

    Args:
        base_url: the gateway's public origin, `https://host` or `https://host:port`.
        signer: the merchant's key.
        gateway_keys: the gateway's keys, pinned: the surest way, if they came with the contract.
        gateway_key_ids: their ids, pinned: keys are fetched, and only these believed. With neither, the
            keys are fetched over verified TLS, and whoever can speak for the host can sign for it.
        cafile: PEM file of the only authorities to believe; None for the system's.
        connect_to: address and port to connect to instead of the origin's.
        answer_s_max: how long one exchange may take.
        transport: sends requests, instead of the one that the three arguments before make.
        policy: bounds of asking again.
        surroundings: clock, chance and nonces.
        sleep: waits for seconds.

    Raises:
        UnsignableRequest: the address is not canonical.
        KeyRefused: the pins contradict each other or are malformed.
    """

    def __init__(
        self,
        base_url: str,
        signer: Signer,
        *,
        gateway_keys: Iterable[VerifyingKey] | None = None,
        gateway_key_ids: Iterable[str] | None = None,
        cafile: str | Path | None = None,
        connect_to: tuple[str, int] | None = None,
        answer_s_max: float = ANSWER_S_MAX,
        transport: Transport | None = None,
        policy: RetryPolicy | None = None,
        surroundings: Surroundings | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        origin = require_origin(base_url)
        self._signer = signer
        self._sleep = sleep
        self._party = Party(
            origin=origin,
            key_id=signer.key_id,
            alg=signer.alg,
            keys=GatewayKeys(gateway_keys, gateway_key_ids),
            policy=policy or RetryPolicy(),
            surroundings=surroundings or real_surroundings(),
        )
        if transport is None:
            from .transport import HTTPSTransport  # noqa: PLC0415 - sockets are loaded by who uses them

            transport = HTTPSTransport(
                origin, cafile=cafile, connect_to=connect_to, answer_s_max=answer_s_max
            )
        self._transport = transport
        self.payments: Payments[Answer] = Payments(self.run, random_text)
        self.refunds: Refunds[Answer] = Refunds(self.run, random_text)
        self.instruments: Instruments[Answer] = Instruments(self.run, random_text)
        self.keys: Keys[Answer] = Keys(self.run, random_text)
        self.events: Events[Answer] = Events(self.run, random_text)
        self.disputes: Disputes[Answer] = Disputes(self.run, random_text)
        self.accounts: Accounts[Answer] = Accounts(self.run, random_text)
        self.webhook_endpoints: WebhookEndpoints[Answer] = WebhookEndpoints(self.run, random_text)
        self.deliveries: Deliveries[Answer] = Deliveries(self.run, random_text)
        self.evidence: Evidence[bytes] = Evidence(lambda call: self.run(call).body, random_text)

    def run(self, call: Call) -> Answer:
        """Bring one operation to its end; see `conduct` for what it raises."""
        steps = conduct(call, self._party)
        result: StepResult = None
        failure: Exception | None = None
        while True:
            try:
                step = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            result = failure = None
            match step:
                case Sign(base):
                    try:
                        result = self._signer.sign(base)
                    except Exception as error:  # noqa: BLE001 - raised again where the doubt is known
                        failure = error
                case Send(request, answer_bytes_max):
                    result = self._transport.send(request, answer_bytes_max=answer_bytes_max)
                case Sleep(seconds):
                    self._sleep(seconds)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
