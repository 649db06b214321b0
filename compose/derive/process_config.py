"""The TOML that each Python process of the mesh starts from (pure)."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import msgspec

from compose.derive.places import Places
from compose.derive.stores import BUS, BUS_COPIES_MAX, DATABASE
from compose.mesh import Mesh, Service

PASSWORD_FILE = "redis.password"  # noqa: S105 - a file name.
RECEIPT_KEY_FILE = "receipt.key.pem"
WEBHOOK_KEY_FILE = "webhook.key.pem"
WEBHOOK_JWKS_FILE = "webhook.jwks.json"
WEBHOOK_SEAL_KEY_FILE = "webhook-seal.key.pem"
WEBHOOK_SEAL_FILE = "webhook-seal.pub.pem"
LOG_KEY_FILE = "log.key.pem"
WITNESS_KEY_FILE = "witness.key.pem"
CELL_KEY_FILE = "cell.keys"  # Versions of what the vault wraps by.
RULES_FILE = "rules.toml"
RULES_TRUST_FILE = "rules-trust.pem"  # Public keys of who may sign rules.
TRUST_KEYS_FILE = "trust-keys.pem"  # Public keys with their roles; everyone may read them.
# Who needs them to do its work: to make bundles, to check cosignatures, to check checkpoints.
TRUST_KEYS_READERS = ("gateway", "evidence", "witness")

TRACING = ("gateway", "payments", "banks", "notifications")  # Who tells spans: outside parties do not.
CARD_NETWORKS = ("card-network",)  # They speak the card rail; every other bank speaks JSON.
# One bank tells a small part of what it confirms a second and a third time: harmless, and never quite absent.
TALKATIVE_BANK = "bank-bravo"
CALLBACK_RATE = 0.02
CALLBACK_COPIES = 2


def process_config(mesh: Mesh, service: Service, places: Places) -> str:
    """The whole configuration of one process as TOML."""
    name = service.name
    document: dict[str, Any] = {
        "name": name,
        "cell": mesh.cell,
        "trust_domain": mesh.trust_domain,
        "identity": str(places.identity(name)),
        "state_dir": str(places.state / name),
        "connection_age_s_max": places.connection_age_s_max,
    }
    document |= _own(mesh, service, places)
    if mesh.traces and name in TRACING:
        document["traces"] = {"url": mesh.traces["url"], "expect": mesh.spiffe(mesh.traces["collector"])}
    if "app" in service.listeners:
        address = places.addresses[f"{name}.app"]
        document["listen"] = {"host": address.bind, "port": address.port, "admit": _admitted(mesh, service)}
    for hop in mesh.hops:
        if hop.caller == name and hop.protocol in ("postgres", "redis", "nats"):
            document[hop.protocol] = _store(mesh, name, hop.callee, places)
    return to_toml(document)


def _admitted(mesh: Mesh, service: Service) -> list[str]:
    if service.sidecar:
        return [mesh.spiffe(service.sidecar_name)]
    return [mesh.spiffe(mesh.services[hop.caller].name) for hop in mesh.callers_of(service.name)]


def _store(mesh: Mesh, caller: str, callee: str, places: Places) -> dict[str, Any]:
    nodes = mesh.services[callee].node_names
    address, *others = (places.addresses[f"{node}.tls"] for node in nodes)
    table: dict[str, Any] = {"host": address.host, "port": address.port, "expect": mesh.spiffe(callee)}
    if callee == BUS and others:
        copies = min(len(nodes), BUS_COPIES_MAX)
        table |= {"others": [f"{other.host}:{other.port}" for other in others], "replicas": copies}
    if callee == "postgres":
        table |= {"database": DATABASE, "user": mesh.services[caller].acts_as or caller}
    if callee == "redis":
        table |= {"username": caller, "password_file": str(places.secrets / caller / PASSWORD_FILE)}
    return table


def _own(mesh: Mesh, service: Service, places: Places) -> dict[str, Any]:
    """The fields that one kind of process has and no other."""
    secrets = places.secrets / service.name
    banks = mesh.parties_of("banks")
    trust_file = str(places.run / service.name / TRUST_KEYS_FILE)
    match service.name:
        case "gateway":
            return {
                "origins": list(places.origins),
                "receipt_key_file": str(secrets / RECEIPT_KEY_FILE),
                "webhook_jwks_file": str(places.run / service.name / WEBHOOK_JWKS_FILE),
                "webhook_seal_file": str(places.run / service.name / WEBHOOK_SEAL_FILE),
                "trust_file": trust_file,
                "vault": _egress(mesh, service, "vault", places),
                "limits": msgspec.structs.asdict(places.limits.gateway),
            }
        case "payments":
            return {
                "bank_names": banks,
                "banks": _egress(mesh, service, "banks", places),
                "fraud": _egress(mesh, service, "fraud", places),
                "bank_terms": dict(mesh.bank_terms),
                "subscribers": mesh.subscribers(),
            }
        case "banks":
            return {
                "banks": {bank: {**_direct(mesh, bank, places), "rail": _rail(bank)} for bank in banks},
                "vault": _egress(mesh, service, "vault", places),
            }
        case "fraud":
            return {
                "rules_file": str(places.run / service.name / RULES_FILE),
                "rules_trust_file": str(places.run / service.name / RULES_TRUST_FILE),
            }
        case "vault":
            return {"cell_key_file": str(secrets / CELL_KEY_FILE)}
        case "notifications":
            return {
                "webhook_key_file": str(secrets / WEBHOOK_KEY_FILE),
                "webhook_seal_key_file": str(secrets / WEBHOOK_SEAL_KEY_FILE),
                "webhook_allowed_addresses": list(places.webhook_allowed),
                "webhook_trust_file": places.webhook_trust_file,
            }
        case "evidence":
            return {
                "log_name": log_name(mesh),
                "log_key_file": str(secrets / LOG_KEY_FILE),
                "trust_file": trust_file,
                "witnesses": {
                    witness_name(mesh, w): _direct(mesh, w, places) for w in mesh.parties_of("evidence")
                },
            }
        case "witness":
            return {
                "witness_name": witness_name(mesh, service.name),
                "witness_key_file": str(secrets / WITNESS_KEY_FILE),
                "trust_file": trust_file,
            }
        case name if name in banks:
            return _bank(mesh, name, places)
        case _:
            return {}


def _bank(mesh: Mesh, name: str, places: Places) -> dict[str, Any]:
    """A simulated bank: its rail, where it tells what it does, and what it is like if nobody scripts it."""
    address = places.addresses["banks.ingress"]
    url, face = f"https://{address.host}:{address.port}", mesh.services["banks"].face
    script = {"callback_rate": CALLBACK_RATE, "copies": CALLBACK_COPIES} if name == TALKATIVE_BANK else {}
    return {
        "rail": _rail(name),
        "callbacks": {"url": url, "expect": mesh.spiffe(face)},
        "script": script,
    }


def _rail(bank: str) -> str:
    return "card" if bank in CARD_NETWORKS else "json"


def log_name(mesh: Mesh) -> str:
    """The name of the cell's evidence log, which is also the origin of its checkpoints."""
    return f"{mesh.trust_domain}/{mesh.cell}"


def witness_name(mesh: Mesh, witness: str) -> str:
    """The name under which a witness cosigns."""
    return f"{mesh.trust_domain}/{witness}"


def _egress(mesh: Mesh, service: Service, callee: str, places: Places) -> dict[str, str]:
    """The way out to another service, through the own sidecar."""
    address = places.addresses[f"{service.name}.egress.{callee}"]
    return {
        "url": f"https://{address.host}:{address.port}",
        "expect": mesh.spiffe(service.sidecar_name),
    }


def _direct(mesh: Mesh, party: str, places: Places) -> dict[str, str]:
    address = places.addresses[f"{party}.app"]
    return {"url": f"https://{address.host}:{address.port}", "expect": mesh.spiffe(party)}


def to_toml(document: dict[str, Any]) -> str:
    """Write scalars, lists and nested tables; what these configurations consist of.

    A member that is None is left out: TOML has no word for it, and to leave it out is what it stands for.
    """
    lines: list[str] = []
    _write_table(document, (), lines)
    return "\n".join(lines) + "\n"


def _write_table(table: dict[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    if path:
        lines.append(f"\n[{'.'.join(_toml_key(part) for part in path)}]")
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = {key: value for key, value in table.items() if key not in nested and value is not None}
    lines += [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in nested.items():
        _write_table(value, (*path, key), lines)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml_value(value: object) -> str:
    """JSON, which TOML shares but for dates, and takes no surrogate pair and no bare delete character."""
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
