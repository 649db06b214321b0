"""A real collector of spans: OTLP/HTTP over mutual TLS, with a thread and a loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pki.tls import server_context

WAIT_S_MAX = 15.0


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str | int]
    began_ns: int
    took_ns: int


@dataclass
class Collector:
    """What a collector took."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    _news: threading.Event = field(default_factory=threading.Event)
    _open: dict[asyncio.Transport, TransportSocket] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self._open[request.transport] = request.transport.get_extra_info("socket")
        self.bodies.append(await request.read())
        self._news.set()
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def hang_up(self) -> None:
        """End all connections, also those that clients keep: the loop ends, and would leave them open."""
        for transport in self._open:
            if not transport.is_closing():
                transport.abort()
        while any(socket.fileno() != -1 for socket in self._open.values()):  # noqa: ASYNC110 - none tells
            await asyncio.sleep(0)

    def spans(self, trace_id: int) -> list[Span]:
        """The spans of one trace in the order in which they came."""
        found = [
            Span(
                service=next(a.value.string_value for a in of.resource.attributes if a.key == "service.name"),
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                attributes={
                    a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes
                },
                began_ns=span.start_time_unix_nano,
                took_ns=span.end_time_unix_nano - span.start_time_unix_nano,
            )
            for body in self.bodies
            for of in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]
        return [span for span in found if span.trace_id == f"{trace_id:032x}"]

    def until(self, trace_id: int, count: int) -> list[Span]:
        """Wait for so many spans of a trace."""
        return self.until_seen(trace_id, lambda found: len(found) >= count)

    def until_seen(self, trace_id: int, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait until the spans of a trace are enough."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not enough(found := self.spans(trace_id)):
            assert self._news.wait(deadline - time.monotonic()), [span.name for span in found]
            self._news.clear()
        return found


@contextmanager
def collecting(generation: Path, *admit: str) -> Iterator[Collector]:
    """Serve with this generation, for these SPIFFE ids."""
    collector, loop = Collector(), asyncio.new_event_loop()
    ready, end = threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/v1/traces", collector.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(
            runner, "127.0.0.1", 0, ssl_context=server_context(generation, admit=frozenset(admit))
        )
        await site.start()
        collector.port = runner.addresses[0][1]
        ready.set()
        await end.wait()
        await site.stop()
        await collector.hang_up()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(WAIT_S_MAX)
        yield collector
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
