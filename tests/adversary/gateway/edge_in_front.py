"""The product's own edge and sidecar, two real Envoys with derived configuration, in front of the gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose.derive import envoy_tls
from compose.derive.configuration import ENVOY_FILE
from compose.derive.envoy import edge_config, sidecar_config
from compose.derive.places import Address, Limits, Places
from compose.mesh import Mesh, read_mesh
from signing import Response
from tests.integration.gateway.gateway_stack import ROOT, Gateway
from tests.integration.gateway.gateway_stores import free_port
from tests.integration.gateway.merchant_requests import ORIGIN
from tests.integration.postgres_server import ThrowAwayPki
from tests.raised_limits import RAISED

ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"
START_S_MAX = 20.0
ANSWER_S_MAX = 10.0
POLL_S = 0.02
_PROBE = b"GET /.well-known/countermark-keys HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Edge:
    """The merchants' listener of a running edge."""

    port: int
    server_name: str
    trust: Path

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect as a merchant would, from an address of this host."""
        context = ssl.create_default_context(cafile=str(self.trust))
        context.set_alpn_protocols(["http/1.1"])
        return await asyncio.open_connection(
            "127.0.0.1",
            self.port,
            ssl=context,
            server_hostname=self.server_name,
            local_addr=(source, 0),
        )

    async def send_raw(self, octets: bytes, *, source: str = "127.0.0.1") -> Response:
        """Send exact bytes as a merchant would; an end without an answer is a ConnectionResetError."""
        reader, writer = await self.connect(source)
        try:
            writer.write(octets)
            async with asyncio.timeout(ANSWER_S_MAX):
                return await read_answer(reader)
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Response:
    """Read one answer, and not to the end: after a refusal Envoy holds the connection open for a second.

    Raises:
        ConnectionResetError: the connection ended without one.
    """
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n")
        status_line, *lines = head.split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = tuple((name, value) for name, _, value in pairs)
        body = await reader.readexactly(int(dict(headers).get("content-length", "0")))
    except asyncio.IncompleteReadError as end:
        raise ConnectionResetError("the edge closed the connection without an answer") from end
    return Response(int(status_line.split(" ")[1]), headers, body)


@asynccontextmanager
async def running_edge(stack: Gateway, limits: Limits = RAISED) -> AsyncIterator[Edge]:
    """Start both Envoys in front of a running gateway."""
    async with running_envoys(stack.server.pki, stack.config.listen.port, limits) as edge:
        yield edge


@asynccontextmanager
async def running_envoys(pki: ThrowAwayPki, app_port: int, limits: Limits) -> AsyncIterator[Edge]:
    """Start both Envoys as the launcher would, wait until a request passes, and stop them.

    Args:
        pki: `edge` and `gateway-sidecar` must be issued.
        app_port: where `gateway` listens.
        limits: how often who may ask.
    """
    mesh, home = read_mesh(ROOT / "compose" / "mesh.toml"), Path(tempfile.mkdtemp(prefix="countermark-edge-"))
    names = {"edge.public": free_port(), "gateway.ingress": free_port()}
    names |= {f"gateway.egress.{hop.callee}": free_port() for hop in mesh.egress_of("gateway")}
    names |= {f"{hop.callee}.ingress": free_port() for hop in mesh.egress_of("gateway")}
    names["gateway.app"] = app_port
    places = Places(
        addresses={name: Address("127.0.0.1", "127.0.0.1", port) for name, port in names.items()},
        certs=pki.certs,
        run=home,
        state=home,
        secrets=home,
        origins=(ORIGIN,),
        connection_age_s_max=300.0,
        limits=limits,
    )
    edge = Edge(names["edge.public"], mesh.dns("edge"), places.identity("edge") / "trust.pem")
    files = _written(mesh, places)
    log = (home / "envoy.log").open("wb")
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - starting takes a millisecond, and waiting happens in a thread
            [ENVOY, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"],
            stdout=log,
            stderr=log,
        )
        for file in files
    ]
    try:
        await _await_passage(edge, home / "envoy.log")
        yield edge
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait, 30)
        log.close()
        shutil.rmtree(home)


def _written(mesh: Mesh, places: Places) -> list[Path]:
    configurations: dict[str, dict[str, Any]] = {
        "edge": edge_config(mesh, mesh.services["edge"], places),
        "gateway-sidecar": sidecar_config(mesh, mesh.services["gateway"], places),
    }
    written = []
    for name, configuration in configurations.items():
        folder = places.run / name
        folder.mkdir()
        for file, secret in envoy_tls.secret_files(name, places).items():
            (folder / file).write_text(json.dumps(secret))
        (folder / ENVOY_FILE).write_text(json.dumps(configuration))
        written.append(folder / ENVOY_FILE)
    return written


async def _await_passage(edge: Edge, log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + START_S_MAX
    while asyncio.get_running_loop().time() < deadline:
        try:
            if (await edge.send_raw(_PROBE)).status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(POLL_S)
    raise RuntimeError(f"no request passed the edge: {log.read_text()[-3000:]}")
