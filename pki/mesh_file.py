"""Which workloads the mesh declares: the names in `mesh.toml` that need a leaf, and what uses each leaf.

Hops and callers belong to whoever judges hops.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

from pki.errors import MeshFileError
from pki.identity import require_name

if TYPE_CHECKING:
    from pathlib import Path


# Kind of a service to what holds its certificate; a sidecar is always an Envoy.
_CONSUMERS: Final = {
    "edge": "envoy", "python": "python", "party": "python", "postgres": "postgres", "redis": "redis",
    "nats": "nats", "role": "role",
}  # fmt: skip


def declared_workloads(path: Path) -> list[str]:
    """Return every `[service.<name>]`, and `<name>-sidecar` where the table says `sidecar = true`.

    Returns:
        Names in the order of the file.

    Raises:
        MeshFileError: the file cannot be read, or declares no service.
        IdentityError: a name is not a workload name.
    """
    names: list[str] = []
    for name, table in _services(path).items():
        names.append(require_name(name))
        if _has_sidecar(table):
            names.append(require_name(f"{name}-sidecar"))
    return names


def declared_consumers(path: Path) -> dict[str, str]:
    """Return what uses the certificate of each workload.

    Returns:
        Workload name to `python`, `envoy`, `postgres`, `redis`, `nats` or `role`.

    Raises:
        MeshFileError: the file cannot be read, declares no service, or one of a kind that is not known.
        IdentityError: a name is not a workload name.
    """
    consumers = dict.fromkeys(declared_workloads(path), "envoy")
    for name, table in _services(path).items():
        kind = table.get("kind") if isinstance(table, dict) else None
        if not isinstance(kind, str) or kind not in _CONSUMERS:
            raise MeshFileError(f"{path}: service {name} has no kind that is known: {', '.join(_CONSUMERS)}")
        consumers[name] = _CONSUMERS[kind]
    return consumers


def declared_trust_domain(path: Path) -> str:
    """Return the trust domain of the mesh.

    Raises:
        MeshFileError: the file cannot be read, or names none.
    """
    domain = _document(path).get("trust_domain")
    if not isinstance(domain, str):
        raise MeshFileError(f"{path} names no trust_domain")
    return domain


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise MeshFileError(f"{path} cannot be read as TOML: {fault}") from fault


def _services(path: Path) -> dict[str, Any]:
    services = _document(path).get("service")
    if not isinstance(services, dict) or not services:
        raise MeshFileError(f"{path} declares no service: expected tables like [service.gateway]")
    return services


def _has_sidecar(table: object) -> bool:
    return isinstance(table, dict) and table.get("sidecar") is True
