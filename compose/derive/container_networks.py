"""Which containers can reach each other: a network for each declared hop, with its two ends alone (pure)."""

from __future__ import annotations

from typing import Any, Final

from compose.mesh import Hop, Mesh, Service
from compose.mesh_faults import MERCHANT

_ONE_SHOTS: Final = ("migrator", "operator")


def has_container(service: Service) -> bool:
    """Nothing runs here as the supervisor, and nobody rotates certificates from inside a container."""
    return service.kind != "role" or service.name in _ONE_SHOTS


def container_networks(mesh: Mesh) -> dict[str, Any]:
    """Every network with its options; the nodes of a cluster meet on one of their own."""
    networks = {_network(hop): _options(hop) for hop in _hops(mesh)}
    return networks | {_routes(s): {"internal": True} for s in mesh.services.values() if s.nodes > 1}


def networks_of(mesh: Mesh, service: Service, node: str) -> dict[str, Any]:
    """The networks of one container, and what it is called there.

    Args:
        node: Of a cluster; else the service's own name.
    """
    name = service.name
    networks: dict[str, Any] = {
        _network(hop): {"aliases": [node]} for hop in _hops(mesh) if name in (hop.caller, hop.callee)
    }
    return networks | ({_routes(service): {"aliases": [mesh.dns(name)]}} if service.nodes > 1 else {})


def _hops(mesh: Mesh) -> list[Hop]:
    """Hops that cross between containers."""
    return [hop for hop in mesh.hops if hop.caller == MERCHANT or has_container(mesh.services[hop.caller])]


def _network(hop: Hop) -> str:
    return f"{hop.caller}-{hop.callee}"


def _routes(service: Service) -> str:
    return f"{service.name}-{service.name}"


def _options(hop: Hop) -> dict[str, Any]:
    # Merchants are outside: without a way out, no port can be published and no webhook delivered.
    return {"internal": MERCHANT not in (hop.caller, hop.callee)}
