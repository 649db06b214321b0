"""Every process of the stack: its command, account, readiness, and what must be ready before it starts."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from compose.derive.configuration import CONFIG_FILE, ENVOY_FILE, nats_file
from compose.derive.places import Places
from compose.launcher.accounts import Account
from compose.launcher.databases import find_server_programs
from compose.launcher.readiness import answers_health, completes_handshake, serves_postgres
from compose.launcher.release import Release
from compose.mesh import Mesh, Service

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class ProcessSpec:
    """One process.

    Attributes:
        stop_signal: Name of the signal that asks it to stop, without `SIG`.
        after: Names of processes, or of steps of the launcher, that come first.
        secret_file: A file that the process finds open as `SECRET_DESCRIPTOR`; opened as the launcher, so the
            process's own account need not be able to, and in neither arguments nor environment.
        is_store: Whether others may need it to finish what they hold: it is stopped after them.
    """

    name: str
    account: Account
    argv: list[str]
    ready: Probe
    after: tuple[str, ...] = ()
    stop_signal: str = "TERM"
    environment: dict[str, str] = field(default_factory=dict)
    secret_file: Path | None = None
    is_store: bool = False


def plan_processes(
    mesh: Mesh, places: Places, release: Release, accounts: dict[str, Account]
) -> list[ProcessSpec]:
    """List the processes that mesh.toml declares, in the order of their declaration."""
    specs = []
    for service in mesh.services.values():
        if service.kind == "nats":
            specs += [
                _nats(mesh, service.name, node, places, release, accounts[service.name])
                for node in service.node_names
            ]
        elif service.kind != "role":
            specs.append(_service(mesh, service, places, release, accounts[service.name]))
        if service.sidecar:
            account = accounts[service.sidecar_name]
            listener, peer = f"{service.name}.ingress", service.sidecar_name
            specs.append(_envoy(mesh, service.sidecar_name, places, release, account, listener, peer))
    return specs


def _service(mesh: Mesh, service: Service, places: Places, release: Release, account: Account) -> ProcessSpec:
    name = service.name
    match service.kind:
        case "edge":
            return _envoy(mesh, name, places, release, account, f"{name}.public", name)
        case "postgres":
            data = places.state / name / "data"
            conf = places.run / name / "postgresql.conf"
            argv = [str(find_server_programs() / "postgres"), "-D", str(data), f"--config-file={conf}"]
            # INT is PostgreSQL's fast stop: roll back, write a checkpoint, end.
            return ProcessSpec(
                name, account, argv, serves_postgres(mesh, places), ("cluster",), stop_signal="INT",
                is_store=True,
            )  # fmt: skip
        case "redis":
            # Debian's redis-tools carries one binary; under this name it is the server (see setup.sh).
            argv = [str(places.run / "redis" / "redis-server"), str(places.run / name / "redis.conf")]
            probe = completes_handshake(mesh, places, "redis.tls", name)
            return ProcessSpec(name, account, argv, probe, is_store=True)
        case _:
            return _python(mesh, service, places, release, account)


def _nats(
    mesh: Mesh, name: str, node: str, places: Places, release: Release, account: Account
) -> ProcessSpec:
    argv = [str(release.nats_server), "-c", str(places.run / name / nats_file(node))]
    return ProcessSpec(
        node, account, argv, completes_handshake(mesh, places, f"{node}.tls", name), is_store=True
    )


def _python(mesh: Mesh, service: Service, places: Places, release: Release, account: Account) -> ProcessSpec:
    config = places.run / service.name / CONFIG_FILE
    argv = [str(release.python), "-m", service.module, "--config", str(config)]
    if service.sidecar:
        probe = answers_health(mesh, places, f"{service.name}.ingress", service.sidecar_name)
        after: tuple[str, ...] = (
            ("schemas", service.sidecar_name) if service.database_role else (service.sidecar_name,)
        )
    else:
        probe, after = answers_health(mesh, places, f"{service.name}.app", service.name), ()
    return ProcessSpec(service.name, account, argv, probe, after, environment=python_environment(release))


def python_environment(release: Release) -> dict[str, str]:
    """What a Python process needs of an environment; nothing of it is a secret or a setting."""
    return {
        "PYTHONPATH": os.pathsep.join(str(path) for path in release.paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _envoy(
    mesh: Mesh, name: str, places: Places, release: Release, account: Account, listener: str, peer: str
) -> ProcessSpec:
    argv = [
        str(release.envoy), "-c", str(places.run / name / ENVOY_FILE),
        "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning",
    ]  # fmt: skip
    return ProcessSpec(name, account, argv, completes_handshake(mesh, places, listener, peer))
