"""From an aiohttp request to a verified one. The order of checks is fixed and numbered here:

1 limits → 2 parse → 3 key → 4 digest → 5 signature → 6 idempotency or, for a read, replay.

The rate of a source stands before 1, that of a merchant behind 5 (`gateway.access.admission`).

Cheap checks come before dear ones, and nothing is asked of the record before the request has its one accepted
form. The target that is verified is the raw one of the request line, at an origin that the configuration
names.
Source: RFC 9421 §3.2; reference profile in `signing.profile`.
"""

from __future__ import annotations

from aiohttp import ClientError, web

from gateway.access.admission import Admission
from gateway.access.exchange import Exchange
from gateway.access.merchants import KeyDirectory
from gateway.access.replay import ReplayMemory
from gateway.errors import CellUnavailable, SenderGone, WrongCell
from services.node.crash_points import reach
from signing import (
    HeaderDuplicated,
    KeyRevoked,
    KeyUnknown,
    Request,
    SignedRequest,
    TooLarge,
    VerifyingKey,
    parse_request,
    verify_request,
)
from signing.profile import BODY_BYTES_MAX


async def receive(request: web.Request, origins: frozenset[str]) -> SignedRequest:
    """Steps 1 and 2: read the request within its limits and parse what its signature claims.

    Raises:
        RequestRefused: too large, or not of the one accepted form.
    """
    # 1. Limits. The application's `client_max_size` stops a body that does not announce its length.
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise TooLarge(f"the body has more than {BODY_BYTES_MAX} bytes")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"the body has more than {BODY_BYTES_MAX} bytes") from None
    except (ConnectionError, ClientError, web.RequestPayloadError) as fault:
        raise SenderGone("the sender hung up before its body was complete") from fault
    # 2. Parse. Latin-1 keeps every byte as it came; what is not ASCII is refused by the parser.
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
    hosts = [value for name, value in headers if name.lower() == "host"]
    if len(hosts) != 1:
        raise HeaderDuplicated("the request must name exactly one host")
    # `raw_path` is the request line's own text: a parsed URL would lose dot segments and percent signs,
    # and an absolute-form target, which stands there whole, never fits behind an origin.
    target_uri = f"https://{hosts[0]}{request.raw_path}"
    return parse_request(Request(request.method, target_uri, headers, body or None), origins=origins)


class Authenticator:
    """Recognises the sender of a request.

    Args:
        origins: the gateway's public origins.
        keys: the key directory.
        replays: the memory of reads.
        admission: the rates of merchants.
        cell: this cell; the record of a merchant of another one is not here.
    """

    def __init__(
        self,
        *,
        origins: frozenset[str],
        keys: KeyDirectory,
        replays: ReplayMemory,
        admission: Admission,
        cell: str,
    ) -> None:
        self._origins = origins
        self._keys = keys
        self._replays = replays
        self._admission = admission
        self._cell = cell

    async def authenticate(
        self, request: web.Request, exchange: Exchange, *, now: int, enrolling: bool = False
    ) -> None:
        """Take a request through steps 1 to 6, noting in `exchange` what each established.

        Args:
            request: as received.
            exchange: filled in; `verified` is set exactly when the signature held.
            now: seconds since the epoch, UTC.
            enrolling: on the route where a key may introduce itself, an unknown key is left to the handler,
                which calls `verify_introduction` with the key that the body holds.

        Raises:
            RequestRefused: the request is refused.
            SignatureReplayed: a read that was made before.
            RateLimited: the merchant asks too often.
            WrongCell: the merchant's record is in another cell.
            CellUnavailable: the key cannot be looked up, or only an old answer about it is at hand.
        """
        # 1, 2.
        exchange.signed = signed = await receive(request, self._origins)
        # 3. Key.
        recalled = await self._keys.find(signed.key_id)
        if recalled is None:
            if enrolling:
                return
            raise KeyUnknown("no registered key has this keyid", signature_base=signed.signature_base)
        exchange.known = known = recalled.value
        if known.revoked:
            raise KeyRevoked("this key was revoked", signature_base=signed.signature_base)
        # 4, 5. Digest and signature.
        exchange.verified = verified = verify_request(signed, known.key, now=now)
        reach("gateway.signature_verified")
        exchange.rate = self._admission.admit_merchant(known.merchant_id)
        # The signature holds under the key as last seen. That is enough to sign a refusal, and for
        # nothing else.
        if not recalled.current:
            raise CellUnavailable("the key directory is out of reach: send the same request again")
        if known.home_cell != self._cell:
            raise WrongCell(f"this merchant's record is in the cell {known.home_cell}: send it there")
        # 6. A read is checked for a replay here; a request that acts by its idempotency claim, when recorded.
        if signed.request.method == "GET":
            await self._replays.remember(verified, now=now)


def verify_introduction(exchange: Exchange, key: VerifyingKey, *, now: int) -> None:
    """Verify a request under the key that it introduces: possession is proven, ownership is not.

    Raises:
        KeyUnknown: the request names another key than the one it introduces.
        RequestRefused: the signature does not hold.
    """
    if exchange.signed is None:
        raise RuntimeError("a handler ran before the request was parsed")
    if key.key_id != exchange.signed.key_id:
        raise KeyUnknown(
            "a first key is registered by a request that this very key signed",
            signature_base=exchange.signed.signature_base,
        )
    exchange.verified = verify_request(exchange.signed, key, now=now)
