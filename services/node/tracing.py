"""Spans of payments, sent to an OpenTelemetry collector over mutual TLS; by default nobody makes any.

`note` tells what happened to a payment after it happened: a span costs nothing while tracing is off, and a
dictionary and a place in a queue while it is on. Spans may be lost and delay nothing; evidence lives
elsewhere. Attributes are ids of ours, names from closed lists and numbers: no bodies, instruments, addresses.
Source: OTLP/HTTP 1.5.
"""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
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
from services.node.trace_context import is_sampled, root_span_id_of, trace_id_of, traceparent

TRACES_PATH = "/v1/traces"
POST_S_MAX = 2.0  # A collector answers in milliseconds; one that is stuck holds up its own thread alone.
BATCH_EVERY_S = 1.0
BATCH_SPANS_MAX = 512  # About 150 kB.
QUEUE_SPANS_MAX = 8192  # A second of 1,000 payments/s; beyond it spans are lost, and nothing waits.
CLOSE_S_MAX = 1.0  # For the last spans, at the end of a process.
AWAY_TOLD_EVERY_S = 60.0  # A collector that is away must not fill the log.
_SPAN_BITS = 64

_log = get_log("node.tracing")


class Tracing:
    """The spans of one process.

    Args:
        config: identity of this process.
        traces: where they go.
    """

    def __init__(self, config: NodeConfig, traces: TracesConfig) -> None:
        self._name = config.name
        self._share = traces.share
        self._namespace = config.trust_domain
        self._resources: dict[str, Resource] = {}
        self._processor = BatchSpanProcessor(
            CollectorExporter(config, traces),
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=BATCH_EVERY_S * 1000,
            max_export_batch_size=BATCH_SPANS_MAX,
            export_timeout_millis=POST_S_MAX * 1000,
        )

    def tells(self, payment_id: str) -> bool:
        """Whether spans of this payment are told."""
        return is_sampled(trace_id_of(payment_id), self._share)

    def add(self, span: ReadableSpan) -> None:
        """Queue one span."""
        self._processor.on_end(span)

    def resource(self, service: str | None) -> Resource:
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


_tracing: Tracing | None = None


def set_up_tracing(config: NodeConfig) -> None:
    """Begin to tell spans, if the configuration says where.

    Raises:
        ConfigError: the collector's address is not one of TLS.
    """
    global _tracing  # noqa: PLW0603 - like logs, spans belong to the process, of which there is one.
    _tracing = None if config.traces is None else Tracing(config, config.traces)


def end_tracing() -> None:
    """Send what is queued."""
    if _tracing is not None:
        with suppress(RuntimeError):  # No thread can be started while the interpreter ends.
            _tracing.close()


def note(
    payment_id: str,
    name: str,
    began_s: float,
    *,
    ended_s: float | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    span_id: int | None = None,
    parent_id: int | None = None,
    link: tuple[int, int] | None = None,
    service: str | None = None,
    attributes: Mapping[str, str | int | bool] | None = None,
) -> None:
    """Tell one thing that happened to a payment.

    Args:
        payment_id: whose trace it is in.
        name: from a closed list.
        began_s: seconds since the epoch; `ended_s` likewise, now if it is not given.
        kind: as OpenTelemetry has it.
        span_id: derived, if others name it as their parent; else a fresh one.
        parent_id: the payment's root if it is not given; a root has none.
        link: trace and span id of somebody else's trace that led to this.
        service: another workload that this one speaks for.
        attributes: see above what may stand there.
    """
    tracing = _tracing
    if tracing is None or not tracing.tells(payment_id):
        return
    trace_id, root = trace_id_of(payment_id), root_span_id_of(payment_id)
    own = span_id or secrets.randbits(_SPAN_BITS) or 1
    above = None if own == root else _context(trace_id, parent_id or root)
    ended_s = time.time() if ended_s is None else ended_s
    tracing.add(
        ReadableSpan(
            name,
            context=_context(trace_id, own),
            parent=above,
            resource=tracing.resource(service),
            attributes={"countermark.payment_id": payment_id, **(attributes or {})},
            links=() if link is None else (Link(_context(*link)),),
            kind=kind,
            start_time=int(began_s * 1e9),
            end_time=int(max(ended_s, began_s) * 1e9),
        )
    )


def headers_for(payment_id: str, span_id: int) -> dict[str, str]:
    """Return what tells an outside party which trace a request is part of; nothing while that is not told."""
    if _tracing is None or not _tracing.tells(payment_id):
        return {}
    return {"traceparent": traceparent(trace_id_of(payment_id), span_id)}


def fresh_span_id() -> int:
    """Return an id for a span that is named to somebody before it ends."""
    return secrets.randbits(_SPAN_BITS) or 1


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
