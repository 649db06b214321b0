"""The deployment that is running: consumers, their listeners, and how each one can be asked.

Read from `run/deployment.json`, which the launcher derives from the declared mesh; it holds no secret.
Strict: a field that is unknown, missing or of the wrong type is refused, and every fault is listed at once,
for a consumer that was overlooked would be one that nobody confirms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki.errors import DeploymentError, IdentityError
from pki.identity import require_name, require_trust_domain

VERSION: Final = 1
CONSUMER_TYPES: Final = ("envoy", "postgres", "redis", "nats", "python", "role")
PROTOCOLS: Final = ("http", "https", "postgres", "redis", "nats")
# Their servers have no option for a CRL: what is revoked stays welcome until it expires (DECISIONS).
PROTOCOLS_WITHOUT_CRL: Final = frozenset({"redis", "nats"})
PORT_MAX: Final = 65535

_DEPLOYMENT_FIELDS: Final = {
    "version": int, "trust_domain": str, "connection_age_s_max": float, "processes_file": str,
    "consumers": list,
}  # fmt: skip
_CONSUMER_FIELDS: Final = {
    "name": str, "type": str, "account": str, "process": str, "listeners": list, "report": dict,
    "admin_socket": str, "username": str, "password_file": str, "database": str, "processes": list,
}  # fmt: skip
_CONSUMER_NEEDS: Final = {
    "envoy": ("listeners", "admin_socket"),
    "postgres": ("listeners",),
    "redis": ("listeners", "username", "password_file"),
    "nats": ("listeners",),
    "python": ("listeners", "report"),
    "role": (),
}
_LISTENER_FIELDS: Final = {
    "name": str,
    "host": str,
    "port": int,
    "protocol": str,
    "admits": (str, type(None)),
}
_REPORT_FIELDS: Final = {"host": str, "port": int, "expect": str, "path": str}


@dataclass(frozen=True, slots=True)
class Listener:
    """One TLS listener of a consumer.

    Attributes:
        name: as in the mesh, e.g. `gateway.ingress`.
        protocol: one of `PROTOCOLS`, spoken inside TLS.
        admits: one workload whose certificate may connect; None where clients need no certificate.
    """

    name: str
    host: str
    port: int
    protocol: str
    admits: str | None

    @property
    def checks_crl(self) -> bool:
        """Whether what serves this listener can check a CRL at all."""
        return self.protocol not in PROTOCOLS_WITHOUT_CRL


@dataclass(frozen=True, slots=True)
class Report:
    """Where a Python process says what it has loaded.

    Attributes:
        expect: the workload that answers the handshake there: the sidecar, or the process itself.
        path: of the report; begins with a slash.
    """

    host: str
    port: int
    expect: str
    path: str


@dataclass(frozen=True, slots=True)
class Consumer:
    """One running thing that uses a workload's certificate.

    Attributes:
        name: the workload.
        type: one of `CONSUMER_TYPES`.
        process: its name in the supervisor's record.
        processes: the same of each node of a cluster; else of the one process.
        listeners: what it serves; a role has none.
        report: of a Python process.
        admin_socket: of an Envoy, a Unix socket.
        username: of the rotation account, Redis.
        password_file: of that account, Redis.
        database: where the rotation's role may connect, PostgreSQL.
    """

    name: str
    type: str
    process: str
    listeners: tuple[Listener, ...] = ()
    report: Report | None = None
    admin_socket: Path | None = None
    username: str = ""
    password_file: Path | None = None
    database: str = "countermark"
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that runs under one authority.

    Attributes:
        connection_age_s_max: no connection gets older than this, seconds.
        processes_file: the supervisor's record of process ids.
    """

    trust_domain: str
    connection_age_s_max: float
    processes_file: Path
    consumers: tuple[Consumer, ...]


def read_deployment(path: Path) -> Deployment:
    """Read the file that the launcher wrote.

    Raises:
        DeploymentError: it cannot be read, or see `parse_deployment`.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as fault:
        raise DeploymentError(
            f"{path} does not exist: nothing runs from this data directory; start it, or name the right one"
        ) from fault
    except (OSError, ValueError) as fault:
        raise DeploymentError(
            f"{path} cannot be read as JSON ({fault}): start the stack again, which writes it anew"
        ) from fault
    try:
        return parse_deployment(document)
    except DeploymentError as fault:
        raise DeploymentError(f"{path}: {fault}") from fault


def parse_deployment(document: object) -> Deployment:
    """Check the parsed file and build the value.

    Raises:
        DeploymentError: listing every fault.
    """
    faults: list[str] = []
    if not isinstance(document, dict):
        raise DeploymentError(_sentence(["the whole is not an object"]))
    faults += _shape_faults("the deployment", document, _DEPLOYMENT_FIELDS, tuple(_DEPLOYMENT_FIELDS))
    if not faults and document["version"] != VERSION:
        faults.append(f"version is {document['version']}, this code knows {VERSION}")
    if not faults:
        faults += _value_faults(document)
        for place, table in enumerate(document["consumers"]):
            faults += _consumer_faults(f"consumer {place + 1}", table)
    if faults:
        raise DeploymentError(_sentence(faults))
    return Deployment(
        trust_domain=document["trust_domain"],
        connection_age_s_max=float(document["connection_age_s_max"]),
        processes_file=Path(document["processes_file"]),
        consumers=tuple(_consumer(table) for table in document["consumers"]),
    )


def _sentence(faults: list[str]) -> str:
    return f"{'; '.join(faults)}: start the stack again with the code of this checkout, which writes it anew"


def _value_faults(document: dict[str, Any]) -> list[str]:
    faults = []
    try:
        require_trust_domain(document["trust_domain"])
    except IdentityError as fault:
        faults.append(str(fault))
    if not 0 < document["connection_age_s_max"] < float("inf"):
        faults.append("connection_age_s_max must be more than 0 seconds")
    tables = [table for table in document["consumers"] if isinstance(table, dict)]
    names = [table["name"] for table in tables if isinstance(table.get("name"), str)]
    faults += [
        f"consumer {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return faults if names else [*faults, "no consumer is listed"]


def _shape_faults(title: str, table: object, fields: dict[str, Any], needed: tuple[str, ...]) -> list[str]:
    if not isinstance(table, dict):
        return [f"{title} is not an object"]
    faults = [f"{title}: unknown field {key}" for key in sorted(table.keys() - fields.keys())]
    faults += [f"{title}: {key} is missing" for key in needed if key not in table]
    for key, kind in fields.items():
        allowed = (int, float) if kind is float else kind
        value = table.get(key)
        if key in table and (not isinstance(value, allowed) or isinstance(value, bool) or value == ""):
            faults.append(f"{title}: {key} is not of the right type, or empty")
    return faults


def _consumer_faults(title: str, table: object) -> list[str]:
    faults = _shape_faults(title, table, _CONSUMER_FIELDS, ("name", "type"))
    if faults or not isinstance(table, dict):
        return faults
    title = f"consumer {table['name'][:64]}"
    faults += _name_faults(title, table["name"])
    if table["type"] not in CONSUMER_TYPES:
        return [*faults, f"{title}: type must be one of {', '.join(CONSUMER_TYPES)}"]
    faults += [f"{title}: {key} is missing" for key in _CONSUMER_NEEDS[table["type"]] if key not in table]
    if table["type"] != "role" and not table.get("listeners"):
        faults.append(f"{title}: a running consumer has at least one listener")
    for place, listener in enumerate(table.get("listeners", [])):
        where = f"{title}, listener {place + 1}"
        shape = _shape_faults(where, listener, _LISTENER_FIELDS, tuple(_LISTENER_FIELDS))
        faults += shape or _listener_faults(where, listener)
    if "processes" in table and (table["type"] != "nats" or not table["processes"]):
        faults.append(f"{title}: processes are for a cluster, which has several")
    for process in table.get("processes", []):
        faults += _name_faults(title, process) if isinstance(process, str) else [f"{title}: no name"]
    if "report" in table:
        where = f"{title}, report"
        shape = _shape_faults(where, table["report"], _REPORT_FIELDS, tuple(_REPORT_FIELDS))
        faults += shape or _report_faults(where, table["report"])
    return faults


def _listener_faults(title: str, table: dict[str, Any]) -> list[str]:
    faults = _port_faults(title, table["port"])
    if table["protocol"] not in PROTOCOLS:
        faults.append(f"{title}: protocol must be one of {', '.join(PROTOCOLS)}")
    elif (table["admits"] is None) != (table["protocol"] == "https"):
        faults.append(f"{title}: clients without a certificate are for https, and for https alone")
    return faults if table["admits"] is None else [*faults, *_name_faults(title, table["admits"])]


def _report_faults(title: str, table: dict[str, Any]) -> list[str]:
    faults = [*_port_faults(title, table["port"]), *_name_faults(title, table["expect"])]
    if not table["path"].startswith("/"):
        faults.append(f"{title}: path must begin with a slash")
    return faults


def _port_faults(title: str, port: int) -> list[str]:
    return [] if 0 < port <= PORT_MAX else [f"{title}: port must be from 1 to {PORT_MAX}"]


def _name_faults(title: str, name: str) -> list[str]:
    try:
        require_name(name)
    except IdentityError as fault:
        return [f"{title}: {fault}"]
    return []


def _consumer(table: dict[str, Any]) -> Consumer:
    process = table.get("process", table["name"])
    return Consumer(
        name=table["name"],
        type=table["type"],
        process=process,
        processes=tuple(table.get("processes", (process,))),
        listeners=tuple(Listener(**listener) for listener in table.get("listeners", ())),
        report=Report(**table["report"]) if "report" in table else None,
        admin_socket=Path(table["admin_socket"]) if "admin_socket" in table else None,
        username=table.get("username", ""),
        password_file=Path(table["password_file"]) if "password_file" in table else None,
        database=table.get("database", "countermark"),
    )
