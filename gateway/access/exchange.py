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
        rate: where the merchant stands, once it was recognised.
        receipt: header fields of a receipt that was made already, for the evidence.
    """

    request_id: str
    method: str
    route: str
    signed: SignedRequest | None = None
    known: KnownKey | None = None
    verified: VerifiedRequest | None = None
    receipt: tuple[tuple[str, str], ...] | None = field(default=None)
    rate: Verdict | None = None

    def require_caller(self) -> tuple[KnownKey, VerifiedRequest]:
        """Return who asks, proven.

        Raises:
            RuntimeError: authentication did not run before; a bug, and never an answer.
        """
        if self.known is None or self.verified is None:
            raise RuntimeError("a handler ran before authentication")
        return self.known, self.verified


EXCHANGE = web.RequestKey("exchange", Exchange)
