"""A real Redis for tests: mutual TLS 1.3 only; it takes a new certificate when told to, as in the mesh."""

from __future__ import annotations

import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio

from pki.tls import client_context
from services.node.config_file import RedisConfig
from tests.integration.node.load import until_seen
from tests.integration.node.mtls import spiffe
from tests.integration.postgres_server import ThrowAwayPki


@dataclass(frozen=True)
class RedisServer:
    """A running server with a user for processes and one for whoever looks from outside."""

    pki: ThrowAwayPki
    home: Path
    port: int

    def reach(self, username: str = "gateway") -> RedisConfig:
        password_file = str(self.home / f"{username}.password")
        return RedisConfig("127.0.0.1", self.port, username, password_file, expect=spiffe("redis"))

    @contextmanager
    def _tls(self) -> Iterator[ssl.SSLSocket]:
        context = client_context(self.pki.identity("supervisor"), expect=frozenset({spiffe("redis")}))
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="redis") as tls,
        ):
            yield tls

    def command(self, *words: str) -> bytes:
        """What the server answers to `pki`, in the wire's form."""
        password = (self.home / "pki.password").read_text()
        with self._tls() as tls:
            tls.sendall(_encode("auth", "pki", password) + _encode(*words))
            answer = b""
            while answer.count(b"\r\n") < 2:
                answer += tls.recv(65536)
        return answer.partition(b"\r\n")[2]

    def ages_s(self, username: str = "gateway") -> list[int]:
        """Whole seconds of age of each connection of this user."""
        lines = self.command("client", "list").decode().splitlines()
        clients = [
            dict(part.partition("=")[::2] for part in line.split()) for line in lines if "age=" in line
        ]
        return [int(client["age"]) for client in clients if client["user"] == username]

    def serial_shown(self) -> str:
        with self._tls() as tls:
            shown: Any = tls.getpeercert()
        return f"{int(shown['serialNumber'], 16):x}"

    def reload(self) -> None:
        """Take the generation in force, all of it in one step."""
        identity = self.pki.identity("redis")
        files = {"tls-cert-file": "cert", "tls-key-file": "key", "tls-ca-cert-file": "trust"}
        words = [w for option, name in files.items() for w in (option, str(identity / f"{name}.pem"))]
        assert b"+OK\r\n" == self.command("config", "set", *words)


def _encode(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return (f"*{len(words)}\r\n" + "".join(parts)).encode()


@contextmanager
def running_redis(pki: ThrowAwayPki, home: Path) -> Iterator[RedisServer]:
    """Run a server in `home`; `redis` and `supervisor` must be issued."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    users = {"gateway": "~gateway:* +get +set", "pki": "+config|set +client|list"}
    lines = ["user default off"]
    for name, rights in users.items():
        password = secrets.token_urlsafe(24)
        (home / f"{name}.password").write_text(password)
        (home / f"{name}.password").chmod(0o600)
        lines.append(f"user {name} on >{password} {rights}")
    (home / "users.acl").write_text("\n".join(lines) + "\n")
    identity = pki.identity("redis")
    (home / "redis.conf").write_text(
        f"bind 127.0.0.1\nport 0\ntls-port {port}\ntls-protocols TLSv1.3\ntls-auth-clients yes\n"
        f"tls-session-caching no\ntls-cert-file {identity}/cert.pem\ntls-key-file {identity}/key.pem\n"
        f'tls-ca-cert-file {identity}/trust.pem\naclfile {home}/users.acl\nsave ""\ndir {home}\n'
    )
    # Debian's redis-tools carries the server's program under another name; its own name decides.
    link = home / "redis-server"
    link.symlink_to(shutil.which("redis-server") or "/usr/bin/redis-check-rdb")
    process = subprocess.Popen([link, str(home / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        yield RedisServer(pki, home, port)
    finally:
        process.kill()
        process.wait()


async def until_answering(client: redis.asyncio.Redis) -> None:
    """Wait until the server of this client takes commands."""

    async def answers() -> bool:
        try:
            await client.get("gateway:ready")
        except redis.exceptions.ConnectionError:
            return False
        return True

    await until_seen(answers)
