"""A real PostgreSQL for tests: TLS 1.3 and client certificates only, no Unix socket, own data directory.

One server per test session, one fresh database per test module. Roles are made before the first start, in
single-user mode, as the launcher does; each role logs in with the certificate whose CN is its name.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from compose.derive.stores import NARROW_PUBLIC
from pki.authority import IssuingAuthority, Owner, initialise
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.seal import ScryptCost
from pki.tls import client_context
from services.node.config_file import PostgresConfig
from services.node.migrations import migrate

# People who act as `operator`, each under the own certificate.
PERSONS = ("operator-alice", "operator-bruno")
ROLES = (
    "gateway", "payments", "notifications", "evidence", "operator", "pki", "fraud", "banks", "vault",
    "reporting",
)  # fmt: skip
# The cheapest cost that `pki` accepts: the passphrase guards a test's throw-away authority.
KEEPER = PassphraseKeeper(b"a throw-away authority of the tests", ScryptCost(n=2**14))
START_S_MAX = 30.0
POLL_S = 0.02

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "ssl": "on",
    "ssl_min_protocol_version": "TLSv1.3",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_min_messages": "error",
    # Only a power cut could tell: the data is thrown away, and what is killed here leaves its pages.
    "fsync": "off",
}


@dataclass(frozen=True)
class ThrowAwayPki:
    """An authority under a temporary folder; `issue` makes `live/<name>/current`."""

    certs: Path

    @classmethod
    def create(cls, certs: Path) -> ThrowAwayPki:
        initialise(
            certs,
            trust_domain=TRUST_DOMAIN_DEFAULT,
            root=KEEPER,
            issuing=KEEPER,
            now=datetime.now(UTC),
        )
        return cls(certs)

    def issue(self, *names: str, owners: dict[str, Owner | None] | None = None) -> None:
        authority = IssuingAuthority.open(self.certs, KEEPER)
        authority.issue(names, owners=owners or {}, now=datetime.now(UTC))

    def identity(self, name: str) -> Path:
        return self.certs / "live" / name / "current"


@dataclass(frozen=True)
class PostgresServer:
    """A running server and the authority that its roles' certificates come from."""

    pki: ThrowAwayPki
    port: int
    process_id: int
    _templates: dict[tuple[tuple[str, Path], ...], str] = field(default_factory=dict)

    def reach(self, role: str, database: str) -> PostgresConfig:
        """The configuration with which a process reaches `database` as `role`."""
        expect = spiffe_id("postgres", TRUST_DOMAIN_DEFAULT)
        return PostgresConfig(host="127.0.0.1", port=self.port, database=database, user=role, expect=expect)

    async def connect(self, role: str, database: str, *, person: str | None = None) -> asyncpg.Connection:
        """One connection of `role`, by its certificate or by that of a person who acts as it."""
        expect = frozenset({spiffe_id("postgres", TRUST_DOMAIN_DEFAULT)})
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            database=database,
            user=role,
            ssl=client_context(self.pki.identity(person or role), expect=expect),
        )

    async def create_database(self, name: str, schemas: list[tuple[str, Path]]) -> str:
        """Make a fresh database with these schemas in it, and return its name.

        Migrations run once for each set of schemas; every database is a copy of what they made.
        """
        template = self._templates.get(tuple(schemas))
        if template is None:
            template = f"migrated_{len(self._templates)}"
            await self._copy_database(template, "template1")
            connection = await self.connect("migrator", template)
            try:
                await migrate(connection, schemas)
            finally:
                await connection.close()
            self._templates[tuple(schemas)] = template
        await self._copy_database(name, template)
        return name

    async def _copy_database(self, name: str, template: str) -> None:
        connection = await self.connect("migrator", "postgres")
        try:
            await connection.execute(f'create database "{name}" template "{template}"')
            # As the launcher does with the product's.
            await connection.execute(f'revoke temporary on database "{name}" from public')
        finally:
            await connection.close()


@contextmanager
def running_postgres(**more: str) -> Iterator[PostgresServer]:
    """Start a server on a free port, with more settings; stop it and remove its files at the end."""
    # Not pytest's folder: that one is closed to the account which PostgreSQL runs as.
    home = Path(tempfile.mkdtemp(prefix="countermark-postgres-"))
    home.chmod(0o711)
    try:
        owner, become = _account()
        certs = ThrowAwayPki.create(home / "certs")
        certs.issue("postgres", "migrator", *ROLES, *PERSONS, owners={"postgres": owner})
        data = _make_cluster(home, become, owner)
        port = _free_port()
        settings = (
            _SETTINGS
            | more
            | {
                "port": str(port),
                "ssl_cert_file": str(certs.identity("postgres") / "cert.pem"),
                "ssl_key_file": str(certs.identity("postgres") / "key.pem"),
                "ssl_ca_file": str(certs.identity("postgres") / "trust.pem"),
            }
        )
        command = [*become, _program("postgres"), "-D", str(data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        try:
            _await_ready(process, data, home / "log")
            yield PostgresServer(certs, port, process.pid)
        finally:
            process.send_signal(signal.SIGQUIT)  # At once: its data is thrown away.
            process.wait()
    finally:
        shutil.rmtree(home)


def _account() -> tuple[Owner | None, list[str]]:
    """PostgreSQL refuses to run as root: then it runs as `postgres`, and ends with this process."""
    if os.geteuid() != 0:
        return None, []
    entry = pwd.getpwnam("postgres")
    become = ["setpriv", "--reuid", "postgres", "--regid", str(entry.pw_gid), "--clear-groups"]
    return Owner(entry.pw_uid, entry.pw_gid), [*become, "--pdeathsig", "INT", "--"]


def _make_cluster(home: Path, become: list[str], owner: Owner | None) -> Path:
    data = home / "data"
    data.mkdir(0o700)
    if owner is not None:
        os.chown(data, owner.uid, owner.gid)
    make = ["-D", str(data), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth=reject", "--no-sync"]
    subprocess.run([*become, _program("initdb"), *make], check=True, capture_output=True, cwd="/")
    hba = data / "pg_hba.conf"
    hba.write_text("hostssl all operator 127.0.0.1/32 cert map=operator\nhostssl all all 127.0.0.1/32 cert\n")
    ident = "".join(f"operator {name} operator\n" for name in ("operator", *PERSONS))
    (data / "pg_ident.conf").write_text(ident)
    # As mesh.toml says: functions of the migrator ask whose certificate a connection was opened with.
    roles = "create role migrator login createdb;\ncreate role merchant_reader nologin nobypassrls;\n"
    roles += "grant pg_read_all_stats, merchant_reader to migrator;\n"
    roles += "".join(f"create role {r} login;\n" for r in ROLES)
    single = [*become, _program("postgres"), "--single", "-D", str(data), "postgres"]
    subprocess.run(single, input=roles.encode(), check=True, capture_output=True, cwd="/")
    # What is granted on functions belongs to a database; every other one is a copy of this.
    single[-1] = "template1"
    subprocess.run(single, input=NARROW_PUBLIC.encode(), check=True, capture_output=True, cwd="/")
    return data


def _program(name: str) -> str:
    """Debian keeps the server's programs out of the path; the newest installed version is taken."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    """The last line of postmaster.pid says `ready` once connections are taken; at first the file is empty."""
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        pid_file = data / "postmaster.pid"
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
