"""Spans on their way to a collector, loaded by processes that tell any: OpenTelemetry's own machinery.

Called by `tracing` alone. Source: OTLP/HTTP 1.5.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from pki.errors import PKIError
from pki.tls import client_context
from services.node.config_file import NodeConfig, TracesConfig
from services.node.errors import ConfigError
from services.node.logs import get_log
from services.node.tracing import Span

TRACES_PATH = "/v1/traces"
POST_S_MAX = 2.0  # A collector answers in milliseconds; one that is stuck holds up its own thread alone.
BATCH_EVERY_S = 1.0
BATCH_SPANS_MAX = 512  # About 150 kB.
QUEUE_SPANS_MAX = 8192  # A second of 1,000 payments/s; beyond it spans are lost, and nothing waits.
CLOSE_S_MAX = 1.0  # For the last spans, at the end of a process.
AWAY_TOLD_EVERY_S = 60.0  # A collector that is away must not fill the log.
_KINDS = MappingProxyType(
    {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
)

_log = get_log("node.tracing")


class SpanQueue:
    """The spans of one process, on their way.

    Args:
        config: identity of this process.
        traces: where they go.
    """

    def __init__(self, config: NodeConfig, traces: TracesConfig) -> None:
        self._name = config.name
        self._namespace = config.trust_domain
        self._resources: dict[str, Resource] = {}
        self._processor = BatchSpanProcessor(
            CollectorExporter(config, traces),
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=BATCH_EVERY_S * 1000,
            max_export_batch_size=BATCH_SPANS_MAX,
            export_timeout_millis=POST_S_MAX * 1000,
        )

    def add(self, span: Span) -> None:
        """Queue one span."""
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.trace_id, span.span_id),
                parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
                resource=self._resource(span.service),
                attributes=span.attributes,
                links=() if span.link is None else (Link(_context(*span.link)),),
                kind=_KINDS[span.kind],
                start_time=int(span.began_s * 1e9),
                end_time=int(max(span.ended_s, span.began_s) * 1e9),
            )
        )

    def _resource(self, service: str | None) -> Resource:
        """Return who a span is by: this process, or a proxy that it speaks for."""
        name = service or self._name
        if name not in self._resources:
            about = {"service.name": f"countermark-{name}", "service.namespace": self._namespace}
            self._resources[name] = Resource(about)
        return self._resources[name]

    def close(self) -> None:
        """Send what is queued, as far as that is possible in time."""
        # The SDK's own shutdown waits for up to 30 s; a daemon thread ends with the process.
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S_MAX)


class CollectorExporter(SpanExporter):
    """Sends batches by OTLP/HTTP; what cannot be sent is lost. Called from one thread.

    Raises:
        ConfigError: the endpoint is not an address of TLS.
    """

    def __init__(self, config: NodeConfig, traces: TracesConfig) -> None:
        parts = urlsplit(traces.url)
        if parts.scheme != "https" or parts.hostname is None or parts.port is None or parts.username:
            raise ConfigError("traces leave a process by TLS alone: the url is https://HOST:PORT")
        self._host, self._port = parts.hostname, parts.port
        self._own, self._expect = Path(config.identity), frozenset({traces.expect})
        self._silent_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, once."""
        try:
            status = self._post(encode_spans(spans).SerializeToString())
        except (OSError, http.client.HTTPException, PKIError) as fault:
            self._tell_away(getattr(fault, "code", None) or type(fault).__name__, len(spans))
            return SpanExportResult.FAILURE
        if status != http.HTTPStatus.OK:
            self._tell_away(f"status {status}", len(spans))
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _post(self, body: bytes) -> int:
        # A context of now: certificates are renewed while we run.
        context = client_context(self._own, expect=self._expect)
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=POST_S_MAX, context=context)
        try:
            connection.request("POST", TRACES_PATH, body, {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status
        finally:
            connection.close()

    def _tell_away(self, reason: str, spans: int) -> None:
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + AWAY_TOLD_EVERY_S
            _log.warning("spans were lost: the collector is away", reason=reason, spans=spans)


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
