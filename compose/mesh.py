"""The declared mesh: services and hops of mesh.toml, parsed once and checked (pure but for `read_mesh`).

Everything that could disagree about who may talk to whom is derived from the value built here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from compose.bus_subjects import subjects_of
from compose.mesh_faults import (
    hop_faults,
    is_text,
    node_faults,
    node_name,
    person_faults,
    service_faults,
    traces_faults,
)
from pki.identity import dns_name, spiffe_id

BANK_TERMS_FILE: Final = "banks.toml"
ROUTES: Final = "routes"  # The listener at which a node of a cluster meets the others.


class MeshError(Exception):
    """mesh.toml is not a mesh; the message lists every fault."""


@dataclass(frozen=True)
class Service:
    """One workload of the mesh.

    Attributes:
        listeners: Names of its own listeners; `sidecar` adds `ingress` and one `egress.<callee>` per hop.
        database_role: Whether PostgreSQL has a role of this name, bound to its certificate.
        acts_as: The role that a person has at PostgreSQL; empty for everything but persons.
        nodes: How many equal processes of one identity it is: of NATS, a cluster.
    """

    name: str
    kind: str
    purpose: str
    module: str = ""
    sidecar: bool = False
    listeners: tuple[str, ...] = ()
    database_role: bool = False
    acts_as: str = ""
    nodes: int = 1

    @property
    def node_names(self) -> tuple[str, ...]:
        """Its processes: one of the service's own name, or `NAME-1` and so on."""
        if self.nodes == 1:
            return (self.name,)
        return tuple(node_name(self.name, number) for number in range(1, self.nodes + 1))

    @property
    def own_listeners(self) -> tuple[str, ...]:
        """`NODE.LISTENER` of each node; the nodes of a cluster meet at listeners of their own."""
        listeners = (*self.listeners, ROUTES) if self.nodes > 1 else self.listeners
        return tuple(f"{node}.{listener}" for node in self.node_names for listener in listeners)

    @property
    def sidecar_name(self) -> str:
        """Workload name of the Envoy in front of this service."""
        return f"{self.name}-sidecar"

    @property
    def face(self) -> str:
        """The workload that other services meet: the sidecar where there is one."""
        return self.sidecar_name if self.sidecar else self.name


@dataclass(frozen=True)
class Hop:
    """One declared arrow; what is not declared is refused by every part that could carry it.

    Attributes:
        reads: The stream of the bus that the caller subscribes to.
        fills: The streams that it keeps. Both are in `publish` and `subscribe`, too.
    """

    caller: str
    callee: str
    protocol: str
    data: tuple[str, ...]
    routes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    memberships: tuple[str, ...] = ()
    reads: str = ""
    fills: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mesh:
    """All services and hops of one cell.

    Attributes:
        traces: `url` and `collector` (a workload) if spans of payments are told; else empty.
        bank_terms: The tables of banks.toml by bank; the engine, which reads them, checks what they hold.
    """

    trust_domain: str
    cell: str
    services: dict[str, Service]
    hops: tuple[Hop, ...] = field(default=())
    bank_terms: Mapping[str, Any] = field(default_factory=dict)
    traces: Mapping[str, str] = field(default_factory=dict)

    def workloads(self) -> list[str]:
        """Every name that gets a leaf: services and sidecars, in declared order."""
        names = []
        for service in self.services.values():
            names.append(service.name)
            if service.sidecar:
                names.append(service.sidecar_name)
        return names

    def envoys(self) -> list[str]:
        """The workloads that are Envoys: the edge, and every sidecar."""
        edges = [service.name for service in self.services.values() if service.kind == "edge"]
        return edges + [service.sidecar_name for service in self.services.values() if service.sidecar]

    def spiffe(self, name: str) -> str:
        """SPIFFE id of a workload."""
        return spiffe_id(name, self.trust_domain)

    def dns(self, name: str) -> str:
        """DNS name of a workload; it routes, it does not prove."""
        return dns_name(name, self.trust_domain)

    def subscribers(self) -> dict[str, list[str]]:
        """Who reads each stream of the bus that somebody fills, by stream."""
        filled = [stream for hop in self.hops for stream in hop.fills]
        return {stream: [hop.caller for hop in self.hops if hop.reads == stream] for stream in filled}

    def owner_of(self, listener: str) -> Service:
        """The service that a listener belongs to, given as `NODE.LISTENER`."""
        node = listener.partition(".")[0]
        return next(s for s in self.services.values() if node in (s.name, *s.node_names))

    def callers_of(self, callee: str, protocol: str = "http") -> list[Hop]:
        """The declared hops into one service."""
        return [hop for hop in self.hops if hop.callee == callee and hop.protocol == protocol]

    def parties_of(self, caller: str) -> list[str]:
        """The outside parties that a service calls, such as the banks of `banks`."""
        return [hop.callee for hop in self.hops if hop.caller == caller and self._kind(hop.callee) == "party"]

    def _kind(self, name: str) -> str:
        return self.services[name].kind if name in self.services else ""

    def egress_of(self, caller: str) -> list[Hop]:
        """The hops that leave through the caller's own sidecar."""
        if not self.services[caller].sidecar:
            return []
        return [
            hop
            for hop in self.hops
            if hop.caller == caller and hop.protocol == "http" and self.services[hop.callee].sidecar
        ]

    def listener_names(self) -> list[str]:
        """Every listener of the mesh as `<service>.<listener>`; each gets one address."""
        names: list[str] = []
        for service in self.services.values():
            names += service.own_listeners
            if service.sidecar:
                names.append(f"{service.name}.ingress")
                names += [f"{service.name}.egress.{hop.callee}" for hop in self.egress_of(service.name)]
        return names

    def persons_of(self, role: str) -> list[str]:
        """The persons who act as a role of PostgreSQL, each under a certificate of the own name."""
        return [service.name for service in self.services.values() if service.acts_as == role]

    def roles(self) -> list[str]:
        """Names of PostgreSQL roles."""
        return [service.name for service in self.services.values() if service.database_role]


def read_mesh(path: Path) -> Mesh:
    """Read mesh.toml, and banks.toml beside it if there is one.

    Raises:
        MeshError: One of them cannot be read or is not a mesh, or there are terms of a bank that is none.
    """
    try:
        mesh = parse_mesh(tomllib.loads(path.read_text(encoding="utf-8")))
        file = path.with_name(BANK_TERMS_FILE)
        terms = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if strangers := sorted(terms.keys() - set(mesh.parties_of("banks"))):
            raise MeshError(f"{file}: no hop from banks to {', '.join(strangers)} in {path.name}")
        return replace(mesh, bank_terms=terms)
    except (OSError, tomllib.TOMLDecodeError) as fault:
        raise MeshError(f"{path}: {fault}") from fault


def parse_mesh(document: dict[str, Any]) -> Mesh:
    """Check a parsed mesh.toml and build the value.

    Raises:
        MeshError: Unknown keys, values of the wrong type, undeclared names, doubled hops, a kind or
            protocol that does not exist.
    """
    faults = [
        f"unknown key {key}" for key in document.keys() - {"trust_domain", "cell", "service", "hop", "traces"}
    ]
    faults += [
        f"{key} is missing or no text" for key in ("trust_domain", "cell") if not is_text(document.get(key))
    ]
    tables, entries = document.get("service", {}), document.get("hop", [])
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise MeshError("services are tables: [service.NAME]")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MeshError("hops are an array of tables: [[hop]]")
    for name, table in tables.items():
        faults += service_faults(name, table)
        faults += person_faults(name, table, tables)
        faults += node_faults(name, table, tables)
    for entry in entries:
        faults += hop_faults(entry, set(tables))
    traces = document.get("traces", {})
    if traces != {}:
        faults += traces_faults(traces, set(tables))
    pairs = [(str(entry.get("caller")), str(entry.get("callee"))) for entry in entries]
    faults += [
        f"hop {a} -> {b} is declared twice" for a, b in sorted({p for p in pairs if pairs.count(p) > 1})
    ]
    if faults:
        raise MeshError("; ".join(faults))
    services = {name: Service(name=name, **_frozen(table)) for name, table in tables.items()}
    hops = tuple(_with_subjects(Hop(**_frozen(entry))) for entry in entries)
    return Mesh(document["trust_domain"], document["cell"], services, hops, traces=traces)


def _with_subjects(hop: Hop) -> Hop:
    publish, subscribe = subjects_of(hop.caller, hop.reads, hop.fills)
    return replace(hop, publish=(*hop.publish, *publish), subscribe=(*hop.subscribe, *subscribe))


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
