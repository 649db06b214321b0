"""What the authority must know of the running mesh: consumers, listeners, how each is asked (pure).

`pki` never reads mesh.toml for this: it is told where every certificate is used and by what, so that a
rotation can look at each of them. There is no secret in it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from compose.derive.places import Places
from compose.derive.policy_file import account_name, consumer_kind
from compose.derive.process_config import PASSWORD_FILE
from compose.derive.stores import DATABASE
from compose.mesh import ROUTES, Mesh, Service

VERSION: Final = 1
REPORT_PATH: Final = "/identity"
PROCESSES_FILE: Final = "processes.json"  # Below `run`: the supervisor's record of process ids.
ROTATOR: Final = "pki"  # The workload that asks, and that the stores know by this name.


def deployment_text(mesh: Mesh, places: Places) -> str:
    """`run/deployment.json` of one deployment."""
    consumers = []
    for service in mesh.services.values():
        consumers.append(_consumer(mesh, service, places))
        if service.sidecar:
            consumers.append(_sidecar(mesh, service, places))
    document = {
        "version": VERSION,
        "trust_domain": mesh.trust_domain,
        "connection_age_s_max": places.connection_age_s_max,
        "processes_file": str(places.run / PROCESSES_FILE),
        "consumers": consumers,
    }
    return json.dumps(document, indent=1) + "\n"


def _consumer(mesh: Mesh, service: Service, places: Places) -> dict[str, Any]:
    name, kind = service.name, consumer_kind(service)
    consumer: dict[str, Any] = {"name": name, "type": kind, "account": account_name(name)}
    match kind:
        case "envoy":
            consumer["admin_socket"] = str(places.admin_socket(name))
            consumer["listeners"] = [_listener(places, f"{name}.public", "https", None)]
        case "python":
            consumer["listeners"] = [_listener(places, f"{name}.app", "http", _admitted(mesh, service))]
            entrance = f"{name}.ingress" if service.sidecar else f"{name}.app"
            consumer["report"] = {**_place(places, entrance), "expect": service.face, "path": REPORT_PATH}
        case "postgres" | "redis" | "nats":
            consumer |= _store(mesh, name, kind, places)
        case _:
            pass  # Roles read their files for each use.
    return consumer


def _store(mesh: Mesh, name: str, kind: str, places: Places) -> dict[str, Any]:
    callers = [hop.caller for hop in mesh.callers_of(name, kind)]
    admitted = ROTATOR if ROTATOR in callers else callers[0]
    service = mesh.services[name]
    listeners = [
        # Nodes of a cluster admit each other, and nobody else, where they meet.
        _listener(places, listener, kind, name if listener.endswith(f".{ROUTES}") else admitted)
        for listener in service.own_listeners
    ]
    consumer: dict[str, Any] = {"listeners": listeners}
    if kind == "redis":
        password_file = places.secrets / ROTATOR / PASSWORD_FILE
        return {**consumer, "username": ROTATOR, "password_file": str(password_file)}
    if kind == "postgres":
        consumer["database"] = DATABASE
    if service.nodes > 1:
        return {**consumer, "processes": list(service.node_names)}
    return {**consumer, "process": name}


def _sidecar(mesh: Mesh, service: Service, places: Places) -> dict[str, Any]:
    name = service.sidecar_name
    ingress = _listener(places, f"{service.name}.ingress", "http", _first_caller(mesh, service))
    egress = [
        _listener(places, f"{service.name}.egress.{hop.callee}", "http", service.name)
        for hop in mesh.egress_of(service.name)
    ]
    return {
        "name": name,
        "type": "envoy",
        "account": account_name(name),
        "admin_socket": str(places.admin_socket(name)),
        "listeners": [ingress, *egress],
    }


def _admitted(mesh: Mesh, service: Service) -> str:
    """Whose certificate the app itself admits."""
    return service.sidecar_name if service.sidecar else mesh.callers_of(service.name)[0].caller


def _first_caller(mesh: Mesh, service: Service) -> str:
    return mesh.services[mesh.callers_of(service.name)[0].caller].face


def _listener(places: Places, name: str, protocol: str, admits: str | None) -> dict[str, Any]:
    return {"name": name, **_place(places, name), "protocol": protocol, "admits": admits}


def _place(places: Places, listener: str) -> dict[str, Any]:
    address = places.addresses[listener]
    return {"host": address.host, "port": address.port}
