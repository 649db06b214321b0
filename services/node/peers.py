"""Who may call which route: the caller list of mesh.toml, applied by default deny.

The own sidecar is the only TLS peer of an app. It names the calling service in `x-forwarded-client-cert`,
which it sets after stripping what came in (Envoy SANITIZE_SET): for that reason alone it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.node.errors import PeerRefused

XFCC_HEADER = "x-forwarded-client-cert"
XFCC_CHARS_MAX = 4096  # By, Hash, Subject and one URI stay far below this.


def caller_uri(xfcc: str | None) -> str:
    """Return the SPIFFE id of the caller that the sidecar vouches for.

    Raises:
        PeerRefused: The header is absent, too long, speaks of several hops or of not exactly one URI.

    Source: Envoy documentation, "x-forwarded-client-cert".
    """
    if not xfcc:
        raise PeerRefused("no caller: requests enter through the sidecar only")
    if len(xfcc) > XFCC_CHARS_MAX:
        raise PeerRefused("the caller's description is too long")
    uris = [part[4:] for part in _parts(xfcc) if part.startswith("URI=")]
    if len(uris) != 1:
        raise PeerRefused(f"the caller's description holds {len(uris)} URIs, one is required")
    return uris[0]


def _parts(element: str) -> list[str]:
    """Split `By=..;Subject=".."` at semicolons outside quotes; a comma outside quotes is refused."""
    if '"' not in element and "," not in element:
        return element.split(";")  # What our own sidecars send; this runs for each request.
    parts, start, quoted, escaped = [], 0, False, False
    for index, character in enumerate(element):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character == ",":
            raise PeerRefused("the caller's description has more than one element")
        elif not quoted and character == ";":
            parts.append(element[start:index])
            start = index + 1
    return [*parts, element[start:]]


def check_caller(name: str, path: str, allowed: Mapping[str, frozenset[str]]) -> None:
    """Let `name` pass if the longest matching route prefix lists it.

    Args:
        name: Workload name of the caller.
        path: Raw request path.
        allowed: Route prefix to the names admitted there; a path under no prefix is refused.

    Raises:
        PeerRefused: The caller is not listed.
    """
    prefixes = [
        p for p in allowed if path == p or path.startswith(p if p.endswith("/") else (p + "/", p + "?"))
    ]
    if not prefixes or name not in allowed[max(prefixes, key=len)]:
        raise PeerRefused(f"{name} may not call {path.partition('?')[0][:80]}")
