"""What handlers have in common: ids in paths, idempotency keys, JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from gateway.access.exchange import Exchange
from gateway.errors import NotFound, WrongCell
from gateway.idempotency import fingerprint
from services.node.identifiers import is_id
from signing import VerifiedRequest

MEDIA_TYPE = "application/json"
POLL_HINT_S = 1  # Most payments end within it; polling sooner only costs both sides.


def object_id_of(request: web.Request, kind: str, this_cell: str) -> str:
    """Return the object's id in the path.

    Args:
        request: its route has a part `{KIND_id}`, as `{payment_id}`, named in `_PATH_PARTS`.
        kind: the prefix, as `pay`.
        this_cell: where this gateway's record is.

    Raises:
        NotFound: it is no id of this kind.
        WrongCell: the object is in another cell.
    """
    name = _PATH_PARTS[kind]
    text = request.match_info[f"{name}_id"]
    if not is_id(text, kind, derived=kind in _DERIVED):
        raise NotFound(f"there is no such {name.replace('_', ' ')}")
    cell = text.split("_")[1]
    if cell != this_cell:
        raise WrongCell(f"this {name.replace('_', ' ')} is in the cell {cell}: ask there")
    return text


# What banks begin is named by the engine; deliveries after what they deliver.
_DERIVED = frozenset({"dsp", "ref", "whd"})
_PATH_PARTS = {
    "acc": "account", "dsp": "dispute", "evt": "event", "ins": "instrument", "pay": "payment",
    "ref": "refund", "tok": "instrument", "whe": "webhook_endpoint", "whd": "delivery",
}  # fmt: skip


def require_idempotency_key(verified: VerifiedRequest) -> str:
    """Return the key that the signature profile demands of every request that acts."""
    if verified.idempotency_key is None:
        raise RuntimeError("a request that acts was verified without an idempotency key")
    return verified.idempotency_key


def fingerprint_of(exchange: Exchange, verified: VerifiedRequest) -> bytes:
    """Return what a repeat of this request must have in common with it."""
    target = verified.request.target_uri.removeprefix("https://").partition("/")[2]
    path, _, query = target.partition("?")
    return fingerprint(
        method=exchange.method,
        path=f"/{path}",
        query=query,
        content_digest=verified.signed.content_digest or "",
    )


def json_reply(
    body: bytes, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer that no cache may keep: it is about one merchant."""
    fields = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **(headers or {})}
    return web.Response(status=status, body=body, headers=fields)
