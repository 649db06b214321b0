"""Where events go: a file of JSON lines, or an OpenTelemetry collector over mutual TLS; by default nowhere.

The collector is a workload like all others: it proves its SPIFFE id, and sees ours. Its absence delays
nothing here and is no reason to stay; events may be lost, the ledger is what counts.
Source: OpenTelemetry logs, event name (1.45); OTLP/HTTP 1.5 for statuses that may be retried.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource

from pki.daemon.journal import log
from pki.errors import DeploymentError, PKIError
from pki.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pki.daemon.ledger_events import PKIEvent

OTLP_PATH: Final = "/v1/logs"
# A collector answers in milliseconds; this bounds what one that is stuck costs.
POST_S_MAX: Final = 2.0
BATCH_EVERY_S: Final = 0.5
RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 30.0
# At the end every moment counts, and there are few of them.
RETRY_ENDING_S: Final = 0.25
# A collector that was away for longer has missed events; the ledger has not.
KEEP_S_MAX: Final = 1800.0
# Renewing a thousand workloads at once is a thousand events.
QUEUE_EVENTS_MAX: Final = 2048
_RETRIABLE: Final = frozenset({429, 502, 503, 504})


class _Exporter(Protocol):
    def finish(self, within_s: float) -> None:
        """Keep nothing for longer than so many seconds from now."""


class EventLog:
    """Takes events; `close` bounds how long their delivery may hold up the end."""

    def __init__(self, provider: LoggerProvider, exporters: Sequence[_Exporter]) -> None:
        self._provider = provider
        self._exporters = exporters
        self._logger = provider.get_logger("countermark.pki")

    def emit(self, events: Iterable[PKIEvent]) -> None:
        """Hand over events; returns at once for a collector, and after writing for a file."""
        for event in events:
            self._logger.emit(
                LogRecord(
                    timestamp=int(event.at.timestamp() * 1_000_000) * 1000,
                    severity_number=SeverityNumber.INFO,
                    severity_text="INFO",
                    event_name=event.name,
                    attributes=dict(event.attributes),
                )
            )

    def close(self, wait_s: float) -> None:
        """Deliver what is left, as far as that is possible in so many seconds."""
        for exporter in self._exporters:
            exporter.finish(wait_s)
        # The SDK's own shutdown waits for up to 30 s; a daemon thread ends with the process.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(wait_s)


def open_event_log(
    *, file: Path | None, endpoint: str | None, own: Path, collector: str, trust_domain: str
) -> EventLog | None:
    """Open what was asked for; None if nothing was.

    Args:
        file: gets a JSON line for each event.
        endpoint: `https://HOST:PORT`, of a collector; events go to its `/v1/logs` unless a path is given.
        own: the generation to present and to trust by, `live/pki/current`; read anew for each delivery.
        collector: SPIFFE id that the collector must prove.
        trust_domain: names the resource that all events are of.

    Raises:
        DeploymentError: the endpoint is not one of TLS.
    """
    if file is None and endpoint is None:
        return None
    resource = Resource({"service.name": "countermark-pki", "service.namespace": trust_domain})
    # Nothing at exit of its own: `close` decides when, and how long.
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    exporters: list[_Exporter] = []
    if file is not None:
        lines = LinesExporter(file)
        provider.add_log_record_processor(SimpleLogRecordProcessor(lines))
        exporters.append(lines)
    if endpoint is not None:
        remote = CollectorExporter(endpoint, own, collector)
        provider.add_log_record_processor(
            BatchLogRecordProcessor(
                remote,
                schedule_delay_millis=BATCH_EVERY_S * 1000,
                max_export_batch_size=512,
                export_timeout_millis=POST_S_MAX * 1000,
                max_queue_size=QUEUE_EVENTS_MAX,
            )
        )
        exporters.append(remote)
    return EventLog(provider, exporters)


class LinesExporter(LogRecordExporter):
    """Appends one JSON object a line; a file that was moved away is made anew."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch."""
        lines = b"".join(json.dumps(_fields(entry.log_record)).encode() + b"\n" for entry in batch)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._file, flags, 0o644)
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                file.write(lines)  # one write(2) at the end of the file: lines of two processes do not mix
        except OSError as fault:
            log(logging.WARNING, "events could not be written", file=str(self._file), reason=fault.strerror)
            return LogRecordExportResult.FAILURE
        return LogRecordExportResult.SUCCESS

    def finish(self, within_s: float) -> None:
        """Nothing is kept back."""
        del within_s

    def shutdown(self) -> None:
        """Nothing is open."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is kept back."""
        del timeout_millis
        return True


class CollectorExporter(LogRecordExporter):
    """Sends batches by OTLP/HTTP, trying again while the collector is away. Called from one thread."""

    def __init__(self, endpoint: str, own: Path, collector: str) -> None:
        """Check the endpoint.

        Raises:
            DeploymentError: it is not an address of TLS.
        """
        parts = urlsplit(endpoint)
        try:
            port = parts.port or 443
        except ValueError:
            port = 0
        if not port or parts.scheme != "https" or parts.hostname is None or parts.username or parts.query:
            raise DeploymentError(
                "events leave this machine by TLS alone: give an endpoint like https://host:4318"
            )
        self._host, self._port = parts.hostname, port
        self._path = parts.path.rstrip("/") or OTLP_PATH
        self._own, self._collector = own, collector
        self._ending, self._gone = threading.Event(), threading.Event()
        self._end_by = float("inf")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch; returns when it was taken, refused, or kept for long enough."""
        body = encode_logs(batch).SerializeToString()
        keep_until, wait_s = time.monotonic() + KEEP_S_MAX, RETRY_S_MIN
        while True:
            refused = False
            try:
                status = self._post(body)
            except (OSError, http.client.HTTPException, PKIError) as fault:
                reason = getattr(fault, "code", None) or type(fault).__name__
                log(logging.WARNING, "the collector of events is away", reason=reason, events=len(batch))
            else:
                if status == http.HTTPStatus.OK:
                    return LogRecordExportResult.SUCCESS
                log(logging.WARNING, "the collector refused events", status=status, events=len(batch))
                refused = status not in _RETRIABLE
            if refused or time.monotonic() > min(keep_until, self._end_by):
                return LogRecordExportResult.FAILURE
            if self._ending.is_set():
                self._gone.wait(RETRY_ENDING_S)
            else:
                self._ending.wait(wait_s)
                wait_s = min(RETRY_S_MAX, wait_s * 2)

    def _post(self, body: bytes) -> int:
        # A context of now: the leaf it presents is one of those that the daemon renews.
        context = client_context(self._own, expect=frozenset({self._collector}))
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=POST_S_MAX, context=context)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status
        finally:
            connection.close()

    def finish(self, within_s: float) -> None:
        """Keep nothing for longer than so many seconds from now."""
        self._end_by = time.monotonic() + within_s
        self._ending.set()

    def shutdown(self) -> None:
        """Try no more than once from now on."""
        self.finish(0.0)
        self._gone.set()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is kept here between batches."""
        del timeout_millis
        return True


def _fields(record: LogRecord) -> dict[str, object]:
    return {
        "event_name": record.event_name,
        "time_unix_nano": record.timestamp,
        "attributes": dict(record.attributes or {}),
    }
