"""What stands behind the gateway in these tests: a relay to PostgreSQL that can be cut, and a Redis."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.config_file import RedisConfig
from tests.integration.postgres_server import PostgresServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Relay:
    """Passes bytes on to PostgreSQL until it is cut; cutting breaks what is open and refuses what comes."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers |= {writer, far_writer}
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)


@dataclass
class Redis:
    """A Redis that speaks TLS only, and can be stopped and started again."""

    home: Path
    port: int
    identity: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            # Debian's redis-tools carries the server's program under another name; its own name decides.
            link = self.home / "redis-server"
            if not link.exists():
                link.symlink_to("/usr/bin/redis-check-rdb")
            program = str(link)
        self.process = subprocess.Popen([program, str(self.home / "redis.conf")], stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def running_redis(server: PostgresServer, home: Path) -> Iterator[tuple[Redis, RedisConfig]]:
    server.pki.issue("redis")
    identity, port, password = server.pki.identity("redis"), free_port(), secrets.token_urlsafe(24)
    (home / "password").write_text(password)
    (home / "password").chmod(0o600)
    (home / "users.acl").write_text(
        f"user default off\nuser gateway on >{password} ~gateway:* resetchannels -@all"
        " +get +set +del +exists +ping +evalsha +script|load +time\n"
        # Not the product's: a test that empties it.
        f"user wiper on >{password} ~* resetchannels -@all +flushall\n"
    )
    (home / "redis.conf").write_text(
        f"bind 127.0.0.1\nport 0\ntls-port {port}\ntls-protocols TLSv1.3\ntls-auth-clients yes\n"
        f"tls-cert-file {identity}/cert.pem\ntls-key-file {identity}/key.pem\n"
        f'tls-ca-cert-file {identity}/trust.pem\naclfile {home}/users.acl\nsave ""\ndir {home}\n'
    )
    redis = Redis(home, port, identity)
    redis.start()
    try:
        yield (
            redis,
            RedisConfig(
                host="127.0.0.1",
                port=port,
                username="gateway",
                password_file=str(home / "password"),
                expect=spiffe_id("redis", TRUST_DOMAIN_DEFAULT),
            ),
        )
    finally:
        redis.stop()
