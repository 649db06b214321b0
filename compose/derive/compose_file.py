"""The same stack for a container engine: the Compose file that follows from mesh.toml (pure).

One container per process, its own account, its own key and nobody else's, a read-only root, no capability.
A network exists per declared hop and joins exactly its two ends; only the edge publishes a port, on loopback.
An app and its sidecar live in a namespace held by a third, idle container, so that either may restart alone.
Source: the Compose specification.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

import yaml

from compose.derive.configuration import CONFIG_FILE, ENVOY_FILE, nats_file
from compose.derive.container_networks import container_networks, has_container, networks_of
from compose.derive.container_places import (
    HOME,
    PUBLISHED_PORT,
    SECRETS,
    container_uids,
    places_in_containers,
)
from compose.derive.places import Places
from compose.derive.process_config import process_config
from compose.mesh import Mesh, Service

IMAGE: Final = "countermark:local"
DATA: Final = "../.data/containers"  # Relative to the folder of compose.yaml.
PREPARE_CAPABILITIES: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETPCAP", "SETUID")
PIDS_MAX: Final = 256  # The busiest, PostgreSQL, has one process per connection: 100.
_POSTGRES: Final = "/usr/lib/postgresql/15/bin/postgres"
_PYTHON: Final = "/opt/venv/bin/python"
_HEAD: Final = """\
# The whole stack as containers. Derived from compose/mesh.toml: change that file, then write this one again
# with `python -m compose.derive compose-file > compose/compose.yaml`.
#
#   docker compose -f compose/compose.yaml --profile setup build
#   docker compose -f compose/compose.yaml run --rm prepare     (certificates, configuration, cluster)
#   docker compose -f compose/compose.yaml up -d
#   docker compose -f compose/compose.yaml run --rm operator enrol --help
#
# What is tested of it: the Compose specification's schema, its references, and that what it mounts is what
# `prepare` makes. No container engine runs it in this repository's tests: ./start is the way that is
# exercised end to end. Differences to ./start: no demonstration and no webhook receiver; no supervisor, so
# that /healthz and /metrics are asked by nobody; connections live up to 300 s instead of 10 s.
# Run `prepare` again every day: it renews what is due, and revocation lists live for 48 hours; with one that
# has expired everybody is refused. Envoys and our own processes take what is new by themselves; PostgreSQL
# and NATS at `docker compose kill --signal HUP postgres nats`, Redis at a restart. Nobody rotates roots here.
# Every key that `prepare` makes lies below .data/containers, the sealed authority included; its passphrase
# (secrets/authority.passphrase) is mounted by no service but `prepare`.
"""


def compose_text(mesh: Mesh) -> str:
    """The file as it is committed: the head comment and the document as YAML."""
    body = yaml.dump(compose_document(mesh), Dumper=_PlainDumper, sort_keys=False, width=110)
    return _HEAD + body


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors, which not every reader of Compose files resolves."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - PyYAML's signature.
        return True


def compose_document(mesh: Mesh) -> dict[str, Any]:
    """The Compose file as a value."""
    places = places_in_containers(mesh)
    services: dict[str, Any] = {"prepare": _prepare()}
    for service in mesh.services.values():
        if has_container(service):
            if service.sidecar:
                services[f"{service.name}-namespace"] = _namespace(mesh, service)
            for node in service.node_names:
                services[node] = _workload(mesh, service, places, node)
        if service.sidecar:
            services[service.sidecar_name] = _sidecar(mesh, service)
    networks = container_networks(mesh)
    secrets = {
        secret: {"file": f"{DATA}/secrets/{name}/{file}"}
        for name in mesh.services
        for secret, file in _secrets(mesh, name, places)
    }
    return {"name": "countermark", "services": services, "networks": networks, "secrets": secrets}


def _hardened(user: str) -> dict[str, Any]:
    return {
        "image": IMAGE,
        "pull_policy": "never",
        "user": user,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": PIDS_MAX,
        "tmpfs": ["/tmp:size=16m,mode=1777"],  # noqa: S108 - private to one container, gone with it.
    }


def _mounted(part: str, name: str, *, writable: bool = False) -> dict[str, Any]:
    """A folder of one workload; a missing one is an error, not an empty folder owned by root."""
    return {
        "type": "bind",
        "source": f"{DATA}/{part}/{name}",
        "target": f"{HOME}/{part}/{name}",
        "read_only": not writable,
        "bind": {"create_host_path": False},
    }


def _process(mesh: Mesh, name: str, command: list[str]) -> dict[str, Any]:
    uid = container_uids(mesh)[name]
    return {
        **_hardened(f"{uid}:{uid}"),
        "restart": "unless-stopped",
        "command": command,
        "volumes": [_mounted("certs/live", name), _mounted("run", name)],
    }


def _sidecar(mesh: Mesh, service: Service) -> dict[str, Any]:
    entry = _process(mesh, service.sidecar_name, _envoy(service.sidecar_name))
    entry["volumes"].append(_mounted("state", service.sidecar_name, writable=True))
    return {
        **entry,
        "network_mode": f"service:{service.name}-namespace",
        "depends_on": {f"{service.name}-namespace": {"condition": "service_started", "restart": True}},
    }


def _namespace(mesh: Mesh, service: Service) -> dict[str, Any]:
    """Holds the network namespace of an app and its sidecar; has no key and no file of theirs."""
    return {
        **_hardened("65534:65534"),
        "init": True,  # `sleep` as process 1 would ignore SIGTERM.
        "restart": "unless-stopped",
        "command": ["sleep", "infinity"],
        "networks": networks_of(mesh, service, service.name),
    }


def _workload(mesh: Mesh, service: Service, places: Places, node: str) -> dict[str, Any]:
    name = service.name
    entry = _process(mesh, name, _command(service, node))
    stores = [
        mesh.services[hop.callee] for hop in mesh.hops if hop.caller == name and hop.protocol in _STORES
    ]
    depends = {waited: _healthy() for store in stores for waited in store.node_names}
    if service.sidecar:
        holder = f"{name}-namespace"
        depends[holder] = {"condition": "service_started", "restart": True}
        entry["network_mode"] = f"service:{holder}"
    else:
        entry["networks"] = networks_of(mesh, service, node)
    if "postgres" in depends and name != "migrator":
        depends["migrator"] = {"condition": "service_completed_successfully"}
    if service.kind != "role":
        entry["volumes"].append(_mounted("state", name, writable=True))
    secrets = [
        {"source": secret, "target": f"{SECRETS}/{name}/{file}"}
        for secret, file in _secrets(mesh, name, places)
    ]
    if secrets:
        entry["secrets"] = secrets
    if name in _STORES:
        entry["healthcheck"] = _handshake(node)
    if service.kind == "edge":
        entry["ports"] = [f"127.0.0.1:{PUBLISHED_PORT}:{PUBLISHED_PORT}"]
        depends |= {
            mesh.services[hop.callee].face: {"condition": "service_started"}
            for hop in mesh.hops
            if hop.caller == name
        }
    if service.kind == "postgres":
        entry |= {"stop_signal": "SIGINT", "stop_grace_period": "30s", "shm_size": "128m"}
    if name == "gateway":
        entry["stop_grace_period"] = "20s"  # A drain with every store away is 14 s; engines wait for 10 s.
    if service.kind == "role":
        entry |= _one_shot(service)
    if depends:
        entry["depends_on"] = depends
    return entry


_STORES: Final = ("postgres", "redis", "nats")


def _healthy() -> dict[str, Any]:
    return {"condition": "service_healthy"}


def _one_shot(service: Service) -> dict[str, Any]:
    """The migrator runs once before the services; an operator's command runs when a person calls it."""
    if service.name == "migrator":
        return {"restart": "no"}
    entry = [_PYTHON, "-m", "gateway.operator", "--config", f"{HOME}/run/{service.name}/{CONFIG_FILE}"]
    return {"restart": "no", "profiles": ["operator"], "entrypoint": entry, "command": ["--help"]}


def _command(service: Service, node: str) -> list[str]:
    name = service.name
    match service.kind:
        case "edge":
            return _envoy(name)
        case "postgres":
            conf = f"--config-file={HOME}/run/{name}/postgresql.conf"
            return [_POSTGRES, "-D", f"{HOME}/state/{name}/data", conf]
        case "redis":
            return ["/usr/local/bin/redis-server", f"{HOME}/run/{name}/redis.conf"]
        case "nats":
            return ["/opt/venv/bin/nats-server", "-c", f"{HOME}/run/{name}/{nats_file(node)}"]
        case "role":
            return [_PYTHON, "-m", "compose.images.migrate"]
        case _:
            return [_PYTHON, "-m", service.module, "--config", f"{HOME}/run/{name}/{CONFIG_FILE}"]


def _envoy(name: str) -> list[str]:
    conf = f"{HOME}/run/{name}/{ENVOY_FILE}"
    return ["/usr/local/bin/envoy", "-c", conf, "--disable-hot-restart", "--concurrency", "1"]


def _secrets(mesh: Mesh, name: str, places: Places) -> list[tuple[str, str]]:
    """Name and file of each secret that this process's own configuration points at, and of no other."""
    service = mesh.services[name]
    if service.kind not in ("python", "party"):
        return []
    pending: list[Any] = [tomllib.loads(process_config(mesh, service, places))]
    files = []
    while pending:
        for value in pending.pop().values():
            if isinstance(value, dict):
                pending.append(value)
            elif isinstance(value, str) and value.startswith(f"{SECRETS}/{name}/"):
                files.append(value.rpartition("/")[2])
    return [(f"{name}-{file.partition('.')[0]}-{_ending(file)}", file) for file in files]


def _ending(file: str) -> str:
    return file.split(".")[1]


def _handshake(name: str) -> dict[str, Any]:
    """Healthy is: a TLS 1.3 handshake completes, in which the store proves its identity."""
    return {
        "test": ["CMD", _PYTHON, "-m", "compose.images.healthy", name],
        "interval": "5s",
        "timeout": "5s",
        "retries": 12,
        "start_period": "30s",
    }


def _prepare() -> dict[str, Any]:
    """Makes everything that the others mount; root without a network, since it gives files to accounts."""
    return {
        "build": {"context": "..", "dockerfile": "compose/images/Containerfile"},
        **_hardened("0:0"),
        "pull_policy": "build",
        "profiles": ["setup"],
        "cap_add": list(PREPARE_CAPABILITIES),
        "network_mode": "none",
        "command": [_PYTHON, "-m", "compose.images.prepare", "--data", "/data"],
        "volumes": [
            {"type": "bind", "source": DATA, "target": "/data", "bind": {"create_host_path": True}},
        ],
    }
