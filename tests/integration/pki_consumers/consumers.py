"""Real Envoy, PostgreSQL, Redis, NATS and aiohttp, each configured by the product's own derived files.

One set for this folder, under one authority; ports from the kernel, everything on loopback. Every process is
recorded like the supervisor records it, so that signals find it.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from compose.derive.places import Places
from compose.derive.stores import DATABASE
from compose.launcher import databases
from compose.launcher.accounts import Account, command_as
from compose.launcher.proc import started_at_ticks
from compose.mesh import Mesh
from pki.consumers.contract import Credential
from tests.integration.pki_consumers.authorities import Authority, LiveTree

START_S_MAX = 30.0
POLL_S = 0.02
ROOT = Path(__file__).resolve().parents[3]
NODE = "tests.integration.pki_consumers.node_process"


@dataclass
class Consumers:
    """What runs, and the means to change and end it."""

    home: Path
    mesh: Mesh
    places: Places
    tree: LiveTree
    authority: Authority
    postgres_account: Account
    revoked: dict[str, Credential] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def port(self, listener: str) -> int:
        return self.places.addresses[listener].port

    @property
    def processes_file(self) -> Path:
        return self.places.run / "processes.json"

    def publish(
        self,
        name: str,
        *,
        by: Authority | None = None,
        trust: tuple[Authority, ...] = (),
        credential: Credential | None = None,
        key: bytes | None = None,
    ) -> str:
        """Publish a new leaf of this workload, or the one given, and return its serial."""
        trusted = trust or (self.authority,)
        chosen = credential or (by or self.authority).leaf(name)
        gid = self.postgres_account.gid if name == "postgres" and self.postgres_account.drop else None
        issuers = [*trusted] if by is None or by in trusted else [*trusted, by]
        revoked = [leaf.serial for leaf in self.revoked.values()]
        crl = b"".join(issuer.crls(revoked) for issuer in issuers)
        self.tree.publish(name, chosen, trust=trusted, crl=crl, gid=gid, key=key)
        return chosen.serial

    def start(self, name: str) -> None:
        """Start one process and wait until its listener takes connections."""
        argv, listener = self._commands()[name]
        with (self.home / f"{name}.log").open("ab") as log:
            # Here, for the module that is our own process; nobody else cares.
            self.running[name] = subprocess.Popen(argv, stdout=log, stderr=log, cwd=ROOT)
        await_that(lambda: self._listens(name, listener), f"{name}: {self.home / name}.log")
        self.record()

    def _listens(self, name: str, listener: str) -> bool:
        if self.running[name].poll() is not None:
            raise RuntimeError(self.log(name)[-2000:])
        if name == "postgres":
            pid_file = self.places.state / name / "data" / "postmaster.pid"
            return pid_file.exists() and pid_file.read_text().rstrip().endswith("ready")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port(listener)), timeout=1):
            return True
        return False

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        process.wait(timeout=START_S_MAX)
        self.record()

    def alter_postgres(self, *statements: str) -> None:
        """Run statements as the superuser, whom nobody can be over a socket: the server stops meanwhile."""
        if running := "postgres" in self.running:
            self.stop("postgres")
        data, programs = self.places.state / "postgres" / "data", databases.find_server_programs()
        databases._single_user(self.postgres_account, programs, data, DATABASE, list(statements))
        if running:
            self.start("postgres")

    def record(self) -> None:
        rows = [
            {"name": name, "pid": process.pid, "started_at_ticks": started_at_ticks(process.pid)}
            for name, process in self.running.items()
        ]
        self.processes_file.write_text(json.dumps(rows))

    def write_node_configuration(self) -> Path:
        """What `node_process` needs: a listener that admits the sidecar, and the way to the database."""
        app, database = self.places.addresses["gateway.app"], self.places.addresses["postgres.tls"]
        document = {
            "node": {
                "name": "gateway",
                "cell": self.mesh.cell,
                "trust_domain": self.mesh.trust_domain,
                "identity": str(self.places.identity("gateway")),
                "state_dir": str(self.home),
                "connection_age_s_max": self.places.connection_age_s_max,
            },
            "listen": {"host": app.bind, "port": app.port, "admit": [self.mesh.spiffe("gateway-sidecar")]},
            "postgres": {
                "host": database.host,
                "port": database.port,
                "database": DATABASE,
                "user": "gateway",
                "expect": self.mesh.spiffe("postgres"),
            },
        }
        path = self.home / "gateway.json"
        path.write_text(json.dumps(document))
        return path

    def _commands(self) -> dict[str, tuple[list[str], str]]:
        run, program = self.places.run, Path(sysconfig.get_paths()["purelib"])
        postgres = str(databases.find_server_programs() / "postgres")
        data, conf = self.places.state / "postgres" / "data", run / "postgres" / "postgresql.conf"
        envoy = [str(program / "envoy" / "_bin" / "envoy"), "--disable-hot-restart", "--concurrency", "1"]
        envoy += ["--log-level", "warning", "-c"]
        nats = str(Path(sys.executable).with_name("nats-server"))
        return {
            "postgres": (
                command_as(
                    self.postgres_account,
                    [postgres, "-D", str(data), f"--config-file={conf}"],
                    parent_death_signal="INT",
                ),
                "postgres.tls",
            ),
            "redis": ([redis_program(self.home), str(run / "redis" / "redis.conf")], "redis.tls"),
            "nats": ([nats, "-c", str(run / "nats" / "nats.conf")], "nats.tls"),
            "gateway": ([sys.executable, "-m", NODE, str(self.write_node_configuration())], "gateway.app"),
            "gateway-sidecar": ([*envoy, str(run / "gateway-sidecar" / "envoy.json")], "gateway.ingress"),
        }


def await_that(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {START_S_MAX} s for {what}")
        time.sleep(POLL_S)


def redis_program(home: Path) -> str:
    """Debian's redis-tools carries the server's program under another name; its own name decides."""
    if found := shutil.which("redis-server"):
        return found
    link = home / "redis-server"
    if not link.exists():
        link.symlink_to("/usr/bin/redis-check-rdb")
    return str(link)
