"""One running set of consumers: mesh, places, derived files, certificates; everything is gone at the end."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from compose.derive.configuration import configuration_files
from compose.derive.places import Address, Places
from compose.launcher import databases
from compose.launcher.accounts import Account
from compose.launcher.ports import PortReservation
from compose.mesh import Mesh, parse_mesh
from tests.integration.pki_consumers.authorities import Authority, LiveTree
from tests.integration.pki_consumers.consumers import Consumers, redis_program

CONNECTION_AGE_S_MAX = 10.0
ROOT = Path(__file__).resolve().parents[3]
# The callers and the callees of this folder's hops; each gets a leaf.
NAMES = (
    "edge",
    "gateway",
    "gateway-sidecar",
    "payments",
    "pki",
    "postgres",
    "redis",
    "nats",
    "migrator",
    "supervisor",
    "notifications",
)
PASSWORDS = {"pki": b"pki-password-of-the-tests", "gateway": b"gateway-password-of-the-tests"}


def declared_mesh() -> Mesh:
    """The declared mesh, with the rotation's own role in it."""
    document = tomllib.loads((ROOT / "compose" / "mesh.toml").read_text(encoding="utf-8"))
    if "pki" not in document["service"]:
        document["service"]["pki"] = {"kind": "role", "database_role": True, "purpose": "rotates"}
        hop: dict[str, Any] = {"caller": "pki", "data": ["control"]}
        commands = ["config|get", "config|set", "client|list", "client|kill", "ping"]
        document["hop"] += [
            hop | {"callee": "postgres", "protocol": "postgres"},
            hop | {"callee": "redis", "protocol": "redis", "commands": commands},
            hop | {"callee": "gateway", "protocol": "http", "routes": ["/identity", "/connections"]},
        ]
    return parse_mesh(document)


@contextmanager
def running_consumers() -> Iterator[Consumers]:
    """Make and start everything; end it and remove the files afterwards."""
    # Not pytest's folder: that one is closed to the account which PostgreSQL runs as.
    home = Path(tempfile.mkdtemp(prefix="countermark-consumers-"))
    home.chmod(0o711)
    ports = PortReservation()
    consumers = _made(home, ports)
    try:
        for name in ("postgres", "redis", "nats", "gateway-sidecar", "gateway"):
            consumers.start(name)
        yield consumers
    finally:
        for name in list(consumers.running):
            consumers.stop(name)
        ports.close()
        shutil.rmtree(home)


def _made(home: Path, ports: PortReservation) -> Consumers:
    mesh = declared_mesh()
    addresses = {n: Address("127.0.0.1", "127.0.0.1", ports.reserve(n)) for n in mesh.listener_names()}
    places = Places(
        addresses, home / "certs", home / "run", home / "state", home / "secrets",
        origins=("https://127.0.0.1:1",), connection_age_s_max=CONNECTION_AGE_S_MAX,
    )  # fmt: skip
    # Old enough for leaves that have expired meanwhile.
    authority = Authority.create(age=timedelta(days=30))
    consumers = Consumers(home, mesh, places, LiveTree(places.certs), authority, _postgres_account())
    consumers.tree.write_authority(authority)
    # On the CRL of every generation from the first one on.
    consumers.revoked = {name: authority.leaf(name) for name in NAMES}
    for name in NAMES:
        consumers.publish(name)
    _write_configuration(consumers)
    databases.prepare_cluster(mesh, places.state / "postgres", consumers.postgres_account)
    # What the rotation's role may do is part of the derived statements; said again, it changes nothing.
    consumers.alter_postgres("grant pg_read_all_stats, pg_signal_backend to pki", "alter role pki inherit")
    return consumers


def _postgres_account() -> Account:
    """PostgreSQL refuses to run as root: then it runs as `postgres`."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), drop=False)
    entry = pwd.getpwnam("postgres")
    return Account("postgres", entry.pw_uid, entry.pw_gid, drop=True)


def _write_configuration(consumers: Consumers) -> None:
    places = consumers.places
    callers = {hop.caller for hop in consumers.mesh.callers_of("redis", "redis")}
    passwords = {caller: PASSWORDS.get(caller, b"unused") for caller in callers}
    files = configuration_files(consumers.mesh, places, passwords, "127.0.0.1/32")
    for name in ("postgres", "redis", "nats", "gateway-sidecar"):
        folder = places.run / name
        folder.mkdir(parents=True, mode=0o755)
        for file, text in files[name].items():
            (folder / file).write_text(_with_what_follows(consumers, name, file, text))
    places.state.mkdir()
    for name in ("postgres", "redis", "nats", "gateway-sidecar"):
        (places.state / name).mkdir()
    if consumers.postgres_account.drop:
        os.chown(places.state / "postgres", consumers.postgres_account.uid, consumers.postgres_account.gid)
    password = places.secrets / "pki" / "redis.password"
    password.parent.mkdir(parents=True)
    password.write_bytes(PASSWORDS["pki"])
    redis_program(consumers.home)


def _with_what_follows(consumers: Consumers, name: str, file: str, text: str) -> str:
    """Add the CRL where the derived files do not name it yet."""
    current = consumers.places.identity(name)
    if file == "postgresql.conf" and "ssl_crl_file" not in text:
        return f"{text}ssl_crl_file = '{current / 'crl.pem'}'\n"
    if file == "sds-trust.json" and "crl.pem" not in text:
        document = json.loads(text)
        document["resources"][0]["validation_context"]["crl"] = {"filename": str(current / "crl.pem")}
        return json.dumps(document)
    return text
