"""The product's aiohttp server in a thread of its own, and the report that a process of the mesh gives."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from cryptography import x509

from services.node.config_file import ListenConfig, NodeConfig
from services.node.server import serve
from tests.integration.pki_consumers.consumers import START_S_MAX, Consumers


class NodeThread:
    """The product's aiohttp server with its own loop, restarted to take a new generation."""

    def __init__(self, config: NodeConfig, listen: ListenConfig, app: Callable[[], web.Application]) -> None:
        self._config, self._listen, self._app = config, listen, app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: asyncio.Event | None = None

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(START_S_MAX)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        callers = {"/report": frozenset({"pki"}), "/connections": frozenset({"pki"})}
        async with serve(self._app(), self._config, self._listen, callers=callers, behind_sidecar=False):
            ready.set()
            await self._end.wait()

    def stop(self) -> None:
        assert self._loop is not None
        assert self._end is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(START_S_MAX)


def node_thread(consumers: Consumers) -> NodeThread:
    """The gateway's own listener, which admits its sidecar; and `pki`, so that its report needs no Envoy."""
    mesh, address = consumers.mesh, consumers.places.addresses["gateway.app"]
    config = NodeConfig(
        name="gateway",
        cell=mesh.cell,
        trust_domain=mesh.trust_domain,
        identity=str(consumers.places.identity("gateway")),
        state_dir=str(consumers.home),
        connection_age_s_max=consumers.places.connection_age_s_max,
    )
    admit = [mesh.spiffe("gateway-sidecar"), mesh.spiffe("pki")]
    listen = ListenConfig(address.bind, address.port, admit)
    return NodeThread(config, listen, lambda: reporting_app(consumers))


def reporting_app(consumers: Consumers) -> web.Application:
    """What a process of the mesh reports of itself, from the generation that this one was started with."""
    folder = consumers.tree.identity("gateway").resolve()
    ended: list[str] = []

    async def report(_: web.Request) -> web.Response:
        return web.json_response(reported(folder))

    async def end(request: web.Request) -> web.Response:
        ended.append(request.query_string)
        return web.json_response({"ended": len(ended)})

    app = web.Application()
    app.router.add_get("/report", report)
    app.router.add_delete("/connections", end)
    return app


def reported(folder: Path) -> dict[str, object]:
    """A report of the documented form: one server, and one client of the same generation."""
    serial = f"{x509.load_pem_x509_certificate((folder / 'cert.pem').read_bytes()).serial_number:x}"
    loaded = {
        "serial": serial,
        "trust_sha256": hashlib.sha256((folder / "trust.pem").read_bytes()).hexdigest(),
        "crl_sha256": hashlib.sha256((folder / "crl.pem").read_bytes()).hexdigest(),
        "open": 1,
        "oldest_age_s": 0.1,
    }
    peer = {
        "spiffe_id": "spiffe://countermark.internal/pki",
        "serial": "ab",
        "issuer_key_id": "cd",
        "open": 1,
    }
    client = loaded | {"name": "postgres", "serials_open": {serial: 1}}
    return {
        "name": "gateway",
        "generation": folder.name,
        "server": loaded | {"peers": [peer]},
        "clients": [client],
    }
