"""What of a request the evidence keeps: its head byte for byte, and the body of a refused one (pure).

Left out is what the merchant did not send to us as evidence: what the mesh's own proxies added, and
credentials, which nobody may find in an archive. The signature's own fields are always whole.
"""

from __future__ import annotations

from typing import Final

from signing import Request

# About five times an ordinary head. A longer one is kept without the fields that no signature covers, so that
# nobody can fill the archive with header fields.
HEAD_BYTES_MAX: Final = 8 * 1024
_SIGNED: Final = frozenset(
    {"host", "content-type", "content-digest", "idempotency-key", "signature-input", "signature"}
)
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
_ADDED_BY_THE_MESH: Final = ("x-forwarded-", "x-envoy-", "x-request-id")


# Their bodies hold an enrolment token, which is a secret until it is spent; refused, it was not.
_SECRET_ROUTES: Final = frozenset({"/v1/keys"})
# What our operations take is far shorter. A longer body that was refused stays out of the archive: nobody can
# fill it with nonsense.
REFUSED_BODY_BYTES_MAX: Final = 16 * 1024


def refused_body(request: Request, route: str) -> bytes | None:
    """Return the body of a refused request that goes into the evidence.

    None if the digest in the signature base has to do; the sender has the body.

    Args:
        request: as received.
        route: the template that matched.
    """
    body = request.body or b""
    return None if route in _SECRET_ROUTES or len(body) > REFUSED_BODY_BYTES_MAX else body


def request_head(request: Request) -> bytes:
    """Return method and target on the first line, then each field as `name: value`, each line ended by LF.

    Args:
        request: as received; its target URI is an https origin and the raw request target.
    """
    target = "/" + request.target_uri.removeprefix("https://").partition("/")[2]
    kept = [(name, value) for name, value in request.headers if _is_evidence(name.lower())]
    head = _joined(request.method, target, kept)
    if len(head) <= HEAD_BYTES_MAX:
        return head
    return _joined(request.method, target, [field for field in kept if field[0].lower() in _SIGNED])


def _is_evidence(name: str) -> bool:
    return name not in _CREDENTIALS and not name.startswith(_ADDED_BY_THE_MESH)


def _joined(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target}", *(f"{name}: {value}" for name, value in fields)]
    return "".join(f"{line}\n" for line in lines).encode("latin-1")
