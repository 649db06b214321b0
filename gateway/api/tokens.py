"""POST /v1/oauth/token: an access token for a dashboard, asked for by a signed request.

The client's credential is the signature of a registered key that may read; the token is bound to that key, or
to another one that the request names, so that a dashboard needs no key that moves money. What is answered is
a credential and stored nowhere: a repeat of the request gets another token, bound to the same key, and
whoever recorded the request can do nothing with that.
Source: RFC 6749 §4.4 and §5.1, RFC 9449 §5 and §10.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.access.tokens import TOKEN_LIFETIME_S, token_hash
from gateway.api.act_shapes import AccessToken
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import TokenOrder, parse_command
from gateway.api.replies import json_reply
from gateway.store.tokens import IssuedToken, Tokens

TOKEN_BYTES = 32  # As much as a key has; nobody guesses one, and nobody can look one up by its hash.

ISSUE = Operation(
    name="issueToken", method="POST", path="/v1/oauth/token", scope=Scope.READ, body=TokenOrder,
    summary="An access token that reads for minutes, for whoever proves to hold the key that it is bound to",
    answers={200: AccessToken}, problems=frozenset({"not_permitted", "state_conflict"}),
    fields=frozenset({"Pragma"}),
)  # fmt: skip
OPERATIONS = (ISSUE,)


class TokenHandlers:
    """The handler of access tokens.

    Args:
        tokens: where their hashes are recorded.
        now: seconds since the epoch, UTC.
    """

    def __init__(self, tokens: Tokens, now: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._now = now

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((ISSUE, self.issue),)

    async def issue(self, request: web.Request) -> web.Response:
        """POST /v1/oauth/token."""
        _, verified = request[EXCHANGE].require_caller()
        order = parse_command(verified.request.body or b"", TokenOrder)
        token = f"cmat_{secrets.token_urlsafe(TOKEN_BYTES)}"
        issued_at = datetime.fromtimestamp(int(self._now()), UTC)
        issued = IssuedToken(
            key_id=verified.key_id,
            bound_to=order.dpop_jkt or verified.key_id,
            expires_at=issued_at + timedelta(seconds=TOKEN_LIFETIME_S),
        )
        await self._tokens.issue(token_hash(token), issued, issued_at=issued_at)
        return json_reply(
            msgspec.json.encode(AccessToken(access_token=token, expires_in=TOKEN_LIFETIME_S)),
            headers={"Pragma": "no-cache"},
        )
