"""What is wrong with a table of mesh.toml, each fault in a sentence (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from compose.bus_subjects import faults_of
from pki.errors import IdentityError
from pki.identity import require_name

# The one party outside the mesh: it has keys of its own and no certificate of ours.
MERCHANT: Final = "merchant"
KINDS: Final = ("edge", "python", "postgres", "redis", "nats", "party", "role")
PROTOCOLS: Final = ("https", "http", "postgres", "redis", "nats")
_SERVICE_KEYS: Final = {
    "kind": str, "module": str, "sidecar": bool, "listeners": list, "database_role": bool, "purpose": str,
    "acts_as": str, "nodes": int,
}  # fmt: skip
_HOP_KEYS: Final = {
    "caller": str, "callee": str, "protocol": str, "routes": list, "data": list, "keys": list,
    "commands": list, "publish": list, "subscribe": list, "memberships": list, "reads": str, "fills": list,
}  # fmt: skip
_TRACES_KEYS: Final = {"url": str, "collector": str}
_KIND_OF_VALUE: Final = {str: "a text", bool: "true or false", list: "a list of texts", int: "a number"}
# Of two nodes, either alone is no majority: a cluster of them is away more often than one node.
NODES: Final = (1, 3, 5)


def is_text(value: object) -> bool:
    """Whether a value is a text with something in it."""
    return isinstance(value, str) and value != ""


def _shape_faults(title: str, table: dict[str, Any], keys: Mapping[str, type]) -> list[str]:
    faults = []
    for key, value in table.items():
        if key not in keys:
            faults.append(f"{title}: unknown key {key}")
        elif type(value) is not keys[key] or (
            isinstance(value, list) and not all(is_text(item) for item in value)
        ):
            faults.append(f"{title}: {key} must be {_KIND_OF_VALUE[keys[key]]}")
    return faults


def traces_faults(table: object, names: set[str]) -> list[str]:
    """Return what is wrong with the table of traces."""
    if not isinstance(table, dict):
        return ["traces must be a table"]
    faults = _shape_faults("traces", table, _TRACES_KEYS)
    faults += [f"traces: {key} is missing" for key in _TRACES_KEYS if not is_text(table.get(key))]
    if not str(table.get("url")).startswith("https://"):
        faults.append("traces: they leave by TLS alone")
    return (
        faults if table.get("collector") in names else [*faults, "traces: no such service as the collector"]
    )


def service_faults(name: str, table: dict[str, Any]) -> list[str]:
    """Return what is wrong with a table of a service."""
    faults = _shape_faults(f"service {name}", table, _SERVICE_KEYS)
    try:
        require_name(name)
    except IdentityError as fault:
        faults.append(f"service {name}: {fault}")
    if table.get("kind") not in KINDS:
        faults.append(f"service {name}: kind must be one of {', '.join(KINDS)}")
    if not table.get("purpose"):
        faults.append(f"service {name}: purpose is missing")
    if table.get("kind") in ("python", "party") and not table.get("module"):
        faults.append(f"service {name}: module is missing")
    return faults


def person_faults(name: str, table: dict[str, Any], tables: dict[str, dict[str, Any]]) -> list[str]:
    """A person has a role's rights and a name that begins with the role's, and nothing else."""
    if "acts_as" not in table:
        return []
    role = str(table["acts_as"])
    faults = []
    if table.get("kind") != "role" or table.get("database_role"):
        faults.append(f"service {name}: only a role without a database role of its own can act as another")
    if not tables.get(role, {}).get("database_role") or tables.get(role, {}).get("kind") != "role":
        faults.append(f"service {name}: {role} is no role of PostgreSQL that people have")
    if not name.startswith(f"{role}-"):
        faults.append(f"service {name}: a person who acts as {role} is named {role}-NAME")
    return faults


def node_name(name: str, number: int) -> str:
    """Name of one process of a service that is several, counted from 1."""
    return f"{name}-{number}"


def node_faults(name: str, table: dict[str, Any], tables: dict[str, dict[str, Any]]) -> list[str]:
    """Only the bus is a cluster, its nodes can form a majority, and their names are nobody else's."""
    nodes = table.get("nodes", 1)
    if type(nodes) is not int or nodes == 1:
        return []
    faults = []
    if table.get("kind") != "nats":
        faults.append(f"service {name}: only a service of kind nats has nodes")
    if nodes not in NODES:
        return [*faults, f"service {name}: nodes must be one of {', '.join(map(str, NODES))}"]
    names = {node_name(name, number) for number in range(1, nodes + 1)}
    return faults + [f"service {name}: {taken} is a service, too" for taken in sorted(names & set(tables))]


def hop_faults(entry: dict[str, Any], names: set[str]) -> list[str]:
    """Return what is wrong with a hop."""
    title = f"hop {entry.get('caller')} -> {entry.get('callee')}"
    faults = _shape_faults(title, entry, _HOP_KEYS)
    if faults:
        return faults
    faults += [
        f"{title}: {entry.get(end)} is not declared"
        for end in ("caller", "callee")
        if entry.get(end) not in names | {MERCHANT}
    ]
    if entry.get("protocol") not in PROTOCOLS:
        faults.append(f"{title}: protocol must be one of {', '.join(PROTOCOLS)}")
    if not entry.get("data"):
        faults.append(f"{title}: data classes are missing")
    if entry.get("protocol") == "http" and not entry.get("routes"):
        faults.append(f"{title}: an http hop names its routes")
    return [*faults, *faults_of(title, entry)]
