"""Where listeners, files and accounts are when each workload is a container (pure).

An app and its sidecar share one network namespace, so what they say to each other stays on loopback; what
others may reach is bound to every address of that namespace and found by the service's name.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from compose.derive.places import Address, Places
from compose.derive.policy_file import account_name
from compose.mesh import ROUTES, Mesh, MeshError

PUBLISHED_PORT: Final = 8443  # Part of the public origin, which merchants sign.
CONNECTION_AGE_S_MAX: Final = 300.0  # How long a rotation waits for old connections.
HOME: Final = Path("/countermark")
SECRETS: Final = Path("/run/secrets")  # Where a container engine puts secrets, by convention.
CLIENT_NETWORK: Final = "samenet"  # pg_hba: the networks that PostgreSQL's own container is on.
_LOOPBACK: Final = "127.0.0.1"
_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - of a namespace that only declared callers share a network with.
_PORTS: Final = {
    "edge.public": PUBLISHED_PORT,
    "postgres.tls": 5432,
    "redis.tls": 6379,
    "nats.tls": 4222,
    f"nats.{ROUTES}": 6222,
}
_INGRESS_PORT: Final = 8443
_APP_PORT: Final = 9443
_EGRESS_PORT_FIRST: Final = 10001
_UID_FIRST: Final = 20000  # Above every account that a distribution makes.
_UIDS: Final = 40_000  # Ends below 65534, nobody, and inside what a rootless engine maps.


def places_in_containers(mesh: Mesh) -> Places:
    """Everything as a process inside its container sees it."""
    return Places(
        addresses=_addresses(mesh),
        certs=HOME / "certs",
        run=HOME / "run",
        state=HOME / "state",
        secrets=SECRETS,
        origins=(f"https://{mesh.dns('edge')}:{PUBLISHED_PORT}",),
        connection_age_s_max=CONNECTION_AGE_S_MAX,
    )


def _addresses(mesh: Mesh) -> dict[str, Address]:
    egress = [name for name in mesh.listener_names() if ".egress." in name]
    addresses = {}
    for name in mesh.listener_names():
        service, (node, _, listener) = mesh.owner_of(name), name.partition(".")
        if name in egress:
            port = _EGRESS_PORT_FIRST + egress.index(name)
            addresses[name] = Address(_LOOPBACK, _LOOPBACK, port)
        elif name == f"{service.name}.app" and service.sidecar:
            addresses[name] = Address(_LOOPBACK, _LOOPBACK, _APP_PORT)
        elif name == f"{service.name}.ingress":
            addresses[name] = Address(_EVERY_ADDRESS, service.name, _INGRESS_PORT)
        else:
            # Nodes find each other by the one name that all their certificates have.
            host = mesh.dns(service.name) if listener == ROUTES else node
            port = _PORTS.get(f"{service.name}.{listener}", _APP_PORT)
            addresses[name] = Address(_EVERY_ADDRESS, host, port)
    return addresses


def container_uids(mesh: Mesh) -> dict[str, int]:
    """One account per workload; the group has the same number.

    A number follows from the name alone: state on disk keeps its owner when mesh.toml grows.

    Raises:
        MeshError: Two names fall on one number; rename one.
    """
    uids = {
        name: _UID_FIRST + int.from_bytes(sha256(name.encode()).digest()[:8]) % _UIDS
        for name in mesh.workloads()
    }
    if len(set(uids.values())) < len(uids):
        raise MeshError("two workloads would share one account in containers; rename one of them")
    return uids


def passwd_lines(mesh: Mesh) -> str:
    """Lines for the image's /etc/passwd: initdb refuses an account without a name."""
    return "".join(
        f"{account_name(name)}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n"
        for name, uid in container_uids(mesh).items()
    )
