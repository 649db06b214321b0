"""One request on its way to its answer: what has been established about it so far.

Authentication fills it step by step, so that whatever ends the request, the answer can be signed if the
sender was recognised, and the audit record can name the key if it is a registered one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from gateway.access.rate import Verdict
from gateway.store.registry import KnownKey
from signing import SignedRequest, VerifiedRequest


@dataclass(frozen=True)
class TokenUse:
    """A read with an access token; its proof held.

    Attributes:
        target_uri: that was proven, with its query, which no proof covers.
        bound_to: the thumbprint of the key that proved it.
    """

    target_uri: str
    bound_to: str


@dataclass
class Exchange:
    """The state of one request.

    Attributes:
        request_id: `req_…`, the name of this exchange in answers, logs and audit.
        method: as received.
        route: the template that matched, or `unmatched`.
        signed: set once the request was parsed; its claims are not verified yet.
        known: set once the claimed key was found; the sender need not be its owner yet.
        verified: set once the signature held; from here on every answer is signed.
        token_use: set once a token and its proof held; such answers are not signed.
        rate: where the merchant stands, once it was recognised.
        receipt: header fields of a receipt that was made already, for the evidence.
        payment_id: the payment that was accepted by it, for its trace; not by a repeat.
    """

    request_id: str
    method: str
    route: str
    signed: SignedRequest | None = None
    known: KnownKey | None = None
    verified: VerifiedRequest | None = None
    receipt: tuple[tuple[str, str], ...] | None = field(default=None)
    rate: Verdict | None = None
    token_use: TokenUse | None = None
    payment_id: str | None = None

    @property
    def is_recognised(self) -> bool:
        """Whether it is proven who asks."""
        return self.known is not None and (self.verified is not None or self.token_use is not None)

    @property
    def proven_key_id(self) -> str | None:
        """The thumbprint of the key whose signature held, over the request or with a token; else None."""
        if self.verified is not None:
            return self.verified.key_id
        return None if self.token_use is None else self.token_use.bound_to

    def require_caller(self) -> tuple[KnownKey, VerifiedRequest]:
        """Return who asks, proven by the signature of this very request. What acts asks here alone.

        Raises:
            RuntimeError: authentication did not run before; a bug, and never an answer.
        """
        if self.known is None or self.verified is None:
            raise RuntimeError("a handler ran before authentication")
        return self.known, self.verified

    def require_reader(self) -> tuple[KnownKey, str]:
        """Return who reads, proven by a signature or a token, and the target URI that was asked for.

        Raises:
            RuntimeError: authentication did not run before; a bug, and never an answer.
        """
        if self.known is not None and self.verified is not None:
            return self.known, self.verified.request.target_uri
        if self.known is not None and self.token_use is not None:
            return self.known, self.token_use.target_uri
        raise RuntimeError("a handler ran before authentication")


EXCHANGE = web.RequestKey("exchange", Exchange)
