"""Every configuration file of one deployment, by workload (pure)."""

from __future__ import annotations

import json

from compose.derive import envoy, envoy_tls, stores
from compose.derive.places import Places
from compose.derive.process_config import process_config
from compose.mesh import Mesh

ENVOY_FILE = "envoy.json"
CONFIG_FILE = "config.toml"


def configuration_files(
    mesh: Mesh, places: Places, passwords: dict[str, bytes], network: str
) -> dict[str, dict[str, str]]:
    """Workload to file name to text: the whole derived configuration of one deployment.

    Args:
        network: Where PostgreSQL's clients come from, e.g. `127.0.0.1/32`.
    """
    files: dict[str, dict[str, str]] = {}
    for service in mesh.services.values():
        match service.kind:
            case "edge":
                files[service.name] = _envoy_files(
                    service.name, envoy.edge_config(mesh, service, places), places
                )
            case "postgres":
                hba = stores.pg_hba(mesh, network)
                conf, ident = stores.postgres_conf(places), stores.pg_ident(mesh)
                files[service.name] = {"postgresql.conf": conf, "pg_hba.conf": hba, "pg_ident.conf": ident}
            case "redis":
                users = stores.redis_users(mesh, passwords)
                files[service.name] = {"redis.conf": stores.redis_conf(places), "users.acl": users}
            case "nats":
                files[service.name] = {
                    nats_file(node): stores.nats_conf(mesh, places, node) for node in service.node_names
                }
            case _:
                files[service.name] = {CONFIG_FILE: process_config(mesh, service, places)}
        if service.sidecar:
            sidecar = service.sidecar_name
            files[sidecar] = _envoy_files(sidecar, envoy.sidecar_config(mesh, service, places), places)
    return files


def nats_file(node: str) -> str:
    """Name of the configuration of one node of the bus; `nats.conf` for one that is alone."""
    return f"{node}.conf"


def _envoy_files(name: str, config: dict[str, object], places: Places) -> dict[str, str]:
    documents = {ENVOY_FILE: config, **envoy_tls.secret_files(name, places)}
    return {file: json.dumps(document, indent=1) for file, document in documents.items()}
