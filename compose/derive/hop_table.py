"""The hops as a Markdown table, for people (pure): who calls whom, what each side proves, what crosses."""

from __future__ import annotations

from compose.mesh import Hop, Mesh, Service
from compose.mesh_faults import MERCHANT

_COLUMNS = (
    "caller", "callee", "protocol", "identity proven by the caller", "identity required of the callee",
    "may use", "data",
)  # fmt: skip
_PROTOCOL = {
    "https": "HTTPS, TLS 1.3",
    "http": "HTTP in mTLS 1.3",
    "postgres": "PostgreSQL in mTLS 1.3",
    "redis": "Redis in mTLS 1.3",
    "nats": "NATS in mTLS 1.3",
}


def hop_table(mesh: Mesh) -> str:
    """Every declared hop, and the loopback hops between a service and its own sidecar."""
    rows = [_declared(mesh, hop) for hop in mesh.hops]
    for service in mesh.services.values():
        if service.nodes > 1:
            rows.append(_between_nodes(mesh, service))
        if service.sidecar:
            inward = mesh.callers_of(service.name)
            rows.append(_own(mesh, service.sidecar_name, service.name, inward))
            rows += [
                _own(mesh, service.name, service.sidecar_name, [hop]) for hop in mesh.egress_of(service.name)
            ]
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _declared(mesh: Mesh, hop: Hop) -> tuple[str, ...]:
    proven, required = _identities(mesh, hop)
    return (
        hop.caller, hop.callee, _PROTOCOL[hop.protocol], proven, required, _uses(mesh, hop),
        ", ".join(hop.data),
    )  # fmt: skip


def _identities(mesh: Mesh, hop: Hop) -> tuple[str, str]:
    if hop.caller == MERCHANT:
        return "a signature on every request (RFC 9421)", f"`{mesh.dns(hop.callee)}`"
    if hop.callee == MERCHANT:
        return "a signature on every webhook (Ed25519)", "a public certificate of the merchant's host"
    caller, callee = mesh.services[hop.caller], mesh.services[hop.callee]
    # A call leaves through the own sidecar only where the callee has one, too.
    through_sidecar = hop.protocol == "http" and callee.sidecar
    proven = caller.face if through_sidecar else caller.name
    return f"`{mesh.spiffe(proven)}`", f"`{mesh.spiffe(callee.face)}`"


def _uses(mesh: Mesh, hop: Hop) -> str:
    names = (*hop.routes, *hop.keys, *hop.commands, *(f"pub {s}" for s in hop.publish))
    names += tuple(f"sub {s}" for s in hop.subscribe)
    if hop.protocol == "postgres":
        role = mesh.services[hop.caller].acts_as or hop.caller
        names = (f"role {role}", *(f"member of {group}" for group in hop.memberships))
    # A bar ends a cell even inside code.
    return ", ".join(f"`{name}`" for name in names).replace("|", "\\|") or "-"


def _between_nodes(mesh: Mesh, service: Service) -> tuple[str, ...]:
    name = service.name
    data = sorted({kind for hop in mesh.callers_of(name, service.kind) for kind in hop.data})
    return (
        name, name, "routes of the cluster in mTLS 1.3", f"`{mesh.spiffe(name)}`", f"`{mesh.dns(name)}`",
        "-", ", ".join(data),
    )  # fmt: skip


def _own(mesh: Mesh, caller: str, callee: str, hops: list[Hop]) -> tuple[str, ...]:
    routes = sorted({route for hop in hops for route in hop.routes})
    data = sorted({name for hop in hops for name in hop.data})
    return (
        caller, callee, f"{_PROTOCOL['http']}, loopback", f"`{mesh.spiffe(caller)}`",
        f"`{mesh.spiffe(callee)}`", ", ".join(f"`{route}`" for route in routes), ", ".join(data),
    )  # fmt: skip
