"""Asking for access tokens, and reading with them as a dashboard would."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from signing import Request, Response, SigningKey
from signing.dpop import make_proof
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, post

TOKEN_PATH = "/v1/oauth/token"


@dataclass(frozen=True)
class Dashboard:
    """Somebody who reads for a merchant with a key that is nobody's at the gateway."""

    merchant: Merchant
    key: SigningKey
    token: str

    def shows(self, request: Request, *, token: str | None = None, proof: str | None = None) -> Request:
        """Add the token and a fresh proof, or what is given instead."""
        shown = token or self.token
        fresh = proof or self.proof(request)
        return request.with_headers((("Authorization", f"DPoP {shown}"), ("DPoP", fresh)))

    def proof(self, request: Request, *, key: SigningKey | None = None, **changes: Any) -> str:
        """A fresh proof for a request."""
        of: dict[str, Any] = {
            "method": request.method, "target_uri": request.target_uri, "token": self.token,
            "now": int(time.time()), "jti": secrets.token_urlsafe(24),
        }  # fmt: skip
        return make_proof(key or self.key, **(of | changes))

    async def read(self, worker: Gateway, path: str) -> Response:
        """GET with a fresh proof."""
        return await worker.send(self.shows(get(path)))


def token_request(**members: object) -> Request:
    order = {"grant_type": "client_credentials"} | members
    return post(TOKEN_PATH, json.dumps(order).encode())


async def open_dashboard(stack: Gateway, merchant: Merchant, *, alg: Any = "ed25519") -> Dashboard:
    """Let a merchant ask for a token that is bound to a dashboard's own key."""
    key = SigningKey.generate(alg)
    answer = await stack.ask(token_request(dpop_jkt=key.key_id), merchant)
    assert answer.status == 200, answer.body
    return Dashboard(merchant, key, json.loads(answer.body)["access_token"])
