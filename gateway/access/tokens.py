"""Reading with an access token: from an aiohttp GET to a recognised reader.

A token alone opens nothing: each request brings a fresh proof by the key that the token is bound to. It reads
and does nothing else: whatever acts is recognised by its signature (`gateway.access.authenticate`) and by
nothing else. The order of checks is that of signed requests: limits, parse, token and key, proof, replay.
Source: RFC 9449 §4.3, §7; RFC 6750 §3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from aiohttp import web

from gateway.access.admission import Admission
from gateway.access.exchange import Exchange, TokenUse
from gateway.access.merchants import KeyDirectory, Memory
from gateway.access.replay import ReplayMemory
from gateway.errors import CellUnavailable, TokenInvalid, TokenProofInvalid, WrongCell
from gateway.store.tokens import IssuedToken
from signing import BodyNotAllowed, HeaderDuplicated, Request
from signing.dpop import TOKEN, verify_proof
from signing.errors import ProofRefused
from signing.request_rules import require_method_and_target

# Longer than a dashboard's page is looked at, short enough that nobody has to revoke one.
TOKEN_LIFETIME_S: Final = 300
READ_SCOPE: Final = frozenset({"read"})  # Whatever else the key that asked may do.
_SCHEME: Final = "dpop"


def token_hash(token: str) -> bytes:
    """Return what is stored of a token: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("ascii")).digest()


def shows_token(request: web.Request) -> bool:
    """Whether a request asks to be recognised by a token; one that is signed as well is a signed one."""
    fields = request.headers
    return (
        request.method == "GET"
        and "Authorization" in fields
        and "Signature" not in fields
        and "Signature-Input" not in fields
    )


class TokenReader:
    """Recognises who reads with a token.

    Args:
        find: a token's hash to what is recorded of it; raises `CellUnavailable`.
        clock: monotonic seconds.
        origins: the gateway's public origins.
        keys: the key directory; it hears of revocations.
        replays: the memory of reads.
        admission: the rates of merchants.
        cell: this cell.
    """

    def __init__(
        self,
        find: Callable[[bytes], Awaitable[IssuedToken | None]],
        clock: Callable[[], float],
        *,
        origins: frozenset[str],
        keys: KeyDirectory,
        replays: ReplayMemory,
        admission: Admission,
        cell: str,
    ) -> None:
        self._find = find
        # What is recorded of a token never changes; whether its key is good is asked each time.
        self._memory: Memory[bytes, IssuedToken] = Memory(clock, age_s_max=TOKEN_LIFETIME_S)
        self._origins = origins
        self._keys = keys
        self._replays = replays
        self._admission = admission
        self._cell = cell

    async def recognise(self, request: web.Request, exchange: Exchange, *, now: int) -> None:
        """Take a GET through all checks; `exchange.token_use` is set exactly when they held.

        Args:
            request: as received.
            exchange: filled in.
            now: seconds since the epoch, UTC.

        Raises:
            TokenInvalid: no such token, or it is not good any more.
            TokenProofInvalid: the proof is not one for this request, or was used before.
            RequestRefused: a body, two of a field, or a target in another spelling.
            RateLimited: the merchant asks too often.
            WrongCell: the merchant's record is in another cell.
            CellUnavailable: token or key cannot be looked up.
        """
        # 1, 2. Limits and parse.
        if request.body_exists:
            raise BodyNotAllowed("a GET carries no body")
        target_uri = _target_of(request, self._origins)
        token = _token_of(request)
        proof = _only(request, "DPoP")
        # 3. Token and key.
        issued = await self._issued(token)
        if issued is None:
            raise TokenInvalid("there is no such token, or it has long expired: ask for a new one")
        recalled = await self._keys.find(issued.key_id)
        if recalled is None:
            raise TokenInvalid("the key that asked for this token is not registered")
        # What a token may do is what a reader may, however much its key may.
        exchange.known = known = replace(recalled.value, scopes=READ_SCOPE & recalled.value.scopes)
        if known.revoked:
            raise TokenInvalid("the key that asked for this token was revoked")
        if issued.expires_at.timestamp() <= now:
            raise TokenInvalid("the token has expired: ask for a new one")
        # 4, 5. Proof.
        try:
            proven = verify_proof(
                proof,
                bound_to=issued.bound_to,
                method=request.method,
                target_uri=target_uri,
                token=token,
                now=now,
            )
        except ProofRefused as refusal:
            raise TokenProofInvalid(str(refusal)) from refusal
        # Recognised: from here on the merchant is charged, and no longer the address.
        exchange.token_use = TokenUse(target_uri, proven.key_id)
        exchange.rate = self._admission.admit_merchant(known.merchant_id)
        if not recalled.current:
            raise CellUnavailable("the key directory is out of reach: ask again")
        if known.home_cell != self._cell:
            raise WrongCell(f"this merchant's record is in the cell {known.home_cell}: ask there")
        # 6. Replay.
        if not await self._replays.remember_proof(proven, now=now):
            raise TokenProofInvalid("this proof was used before: make a fresh one for each request")

    async def _issued(self, token: str) -> IssuedToken | None:
        name = token_hash(token)
        recalled = self._memory.get(name)
        if recalled is not None and recalled.current:
            return recalled.value
        issued = await self._find(name)
        if issued is not None:
            self._memory.put(name, issued)
        return issued


def _token_of(request: web.Request) -> str:
    scheme, _, token = _only(request, "Authorization").partition(" ")
    if scheme.lower() != _SCHEME:
        raise TokenInvalid("a token is shown as Authorization: DPoP, with a proof in the field DPoP")
    if TOKEN.fullmatch(token) is None:
        raise TokenInvalid("what is shown is not of the form of a token")
    return token


def _only(request: web.Request, name: str) -> str:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise HeaderDuplicated(f"the field {name} must occur once")
    if not values:
        raise TokenProofInvalid(f"a token comes with a proof: the field {name} is missing")
    return values[0]


def _target_of(request: web.Request, origins: frozenset[str]) -> str:
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1:
        raise HeaderDuplicated("the request must name exactly one host")
    target_uri = f"https://{hosts[0]}{request.raw_path}"
    require_method_and_target(Request(request.method, target_uri, (), None), origins)
    return target_uri
