"""Run an aiohttp application on an mTLS listener that only the own sidecar can reach.

Promises: the peer's SPIFFE id is checked inside the handshake; the calling service is checked against the
caller list before a handler runs; no connection grows older than the configured age; a new certificate is
taken while serving; no plaintext listener.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pki.errors import IdentityError
from pki.identity import WorkloadIdentity
from pki.tls import peer_spiffe_id
from services.node.ageing import sweep_for_ever
from services.node.config_file import ListenConfig, NodeConfig
from services.node.errors import PeerRefused
from services.node.health import HEALTH_PATH, Health
from services.node.identity import identity_in_force
from services.node.identity_report import CALLERS as REPORT_CALLERS
from services.node.identity_report import IdentityHandlers
from services.node.listener import Listener
from services.node.logs import get_log
from services.node.peers import XFCC_HEADER, caller_uri, check_caller
from services.node.server_connections import ServerConnections

CALLER = web.RequestKey("caller", str)  # Workload name of the calling service, checked.

DRAIN_S_MAX = 5.0  # Requests under way at SIGTERM get this long; the longest hop deadline is shorter.
# A sidecar that was about to use an idle connection has done so by then; its request is answered, not lost.
DRAIN_IDLE_S_MAX = 0.5
CUT_S_MAX = 0.5  # What has not ended by DRAIN_S_MAX is cancelled, and gets this long to let go.
SIDECAR_IDLE_S_MAX = (
    75.0  # Above the sidecars' 60 s: a request must not meet a connection closed from our side.
)
CALLERS_KEPT_MAX = 64  # A callee has a handful; whoever else is admitted by TLS cannot fill memory.
HEADER_BYTES_MAX = 36 * 1024  # Above Envoy's 32 KiB for all of them: it refuses first, and says what to do.

_log = get_log("node.server")


@asynccontextmanager
async def serve(
    app: web.Application,
    config: NodeConfig,
    listen: ListenConfig,
    *,
    callers: Mapping[str, frozenset[str]],
    ready: Callable[[], bool] = lambda: True,
    checks: Callable[[], Mapping[str, str]] = dict,
    behind_sidecar: bool = True,
    notice_s: float = 0.0,
) -> AsyncIterator[None]:
    """Serve `app` until the context ends, then drain.

    The drain, in order: readiness says no, and for `notice_s` all goes on as before; nothing new is accepted,
    and each answer ends its connection; what is idle is closed; what is under way gets `DRAIN_S_MAX`. A
    request has its answer, or was never taken.

    Args:
        app: The application; `/healthz` and the report on certificates are added to it. Its own
            `client_max_size` bounds bodies.
        config: Identity and connection age of this process.
        listen: Address and admitted TLS peers.
        callers: Route prefix to workload names, from mesh.toml; anything else is 403.
        ready: What `/healthz` reports; False is 503.
        checks: What readiness was made of, by name, for whoever asks why.
        behind_sidecar: True: the own sidecar attests the caller. False (outside parties that have no
            sidecar): the caller is whoever proved its identity on this very connection.
        notice_s: How long whoever asks for readiness has to notice that it says no, seconds.
    """
    attest = _caller_attested_by_sidecar if behind_sidecar else _caller_on_this_connection
    callers = {HEALTH_PATH: frozenset({"supervisor"}), **REPORT_CALLERS, **callers}
    health = Health(ready, checks)
    identity = identity_in_force(config)
    connections = ServerConnections(config.connection_age_s_max)
    app.middlewares.insert(0, _caller_middleware(attest, config.trust_domain, callers))
    app.on_response_prepare.append(connections.announce_close)
    health.add_routes(app)
    runner = web.AppRunner(
        app,
        access_log=None,  # One structured line per request is written by whoever has something to say.
        shutdown_timeout=CUT_S_MAX,
        # A sidecar closes idle connections itself, before this; met directly, age bounds idleness too.
        keepalive_timeout=SIDECAR_IDLE_S_MAX if behind_sidecar else config.connection_age_s_max,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        auto_decompress=False,  # Digests cover the bytes received; content encodings are refused, not undone.
    )
    listener = Listener(runner, listen, identity)
    IdentityHandlers(config.name, identity, listener, connections).add_routes(app)
    ageing = asyncio.create_task(sweep_for_ever(config.connection_age_s_max, connections.sweep))
    try:
        await runner.setup()
        assert runner.server is not None
        connections.attach(runner.server)
        await listener.start()
        _log.info("listening", host=listen.host, port=listen.port)
        yield
        health.drain()
        await asyncio.sleep(notice_s)
        await listener.stop()
        left = await connections.drain(idle_s_max=DRAIN_IDLE_S_MAX, s_max=DRAIN_S_MAX)
        _log.log(logging.WARNING if left else logging.INFO, "drained", unanswered=left)
    finally:
        ageing.cancel()
        await listener.stop()
        await runner.cleanup()


def _caller_attested_by_sidecar(request: web.Request) -> str:
    values = request.headers.getall(XFCC_HEADER, [])
    if len(values) > 1:
        raise PeerRefused("two descriptions of the caller")
    return caller_uri(values[0] if values else None)


def _caller_on_this_connection(request: web.Request) -> str:
    connection = request.get_extra_info("ssl_object")
    if connection is None:
        raise PeerRefused("no TLS connection")
    return peer_spiffe_id(connection)


def _caller_middleware(
    attest: Callable[[web.Request], str], trust_domain: str, callers: Mapping[str, frozenset[str]]
) -> Middleware:
    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            identity = _parsed(attest(request))
            if identity.trust_domain != trust_domain:
                raise PeerRefused("the caller is of another trust domain")
            check_caller(identity.name, request.raw_path, callers)
        except (PeerRefused, IdentityError) as refusal:
            _log.warning("a caller was refused", reason=str(refusal)[:200])
            return web.json_response({"code": "peer-refused"}, status=403)
        request[CALLER] = identity.name
        return await handler(request)

    return admit


@lru_cache(maxsize=CALLERS_KEPT_MAX)
def _parsed(uri: str) -> WorkloadIdentity:
    return WorkloadIdentity.parse(uri)
