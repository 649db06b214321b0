"""Spans of payments, for an OpenTelemetry collector; by default nobody makes any.

`note` tells what happened to a payment after it happened: a span costs nothing while tracing is off, not even
the loading of what sends it, and a place in a queue while it is on. Spans may be lost and delay nothing;
evidence lives elsewhere. Attributes are ids of ours, names from closed lists and numbers: no bodies,
instruments, addresses.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from services.node.config_file import NodeConfig
from services.node.trace_context import is_sampled, root_span_id_of, trace_id_of, traceparent

_SPAN_BITS = 64

Kind = Literal["internal", "client", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One thing that happened; see `note`."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    kind: Kind
    began_s: float
    ended_s: float
    link: tuple[int, int] | None
    service: str | None
    attributes: Mapping[str, str | int | bool]


class Queue(Protocol):
    """Where spans go; `span_export.SpanQueue`."""

    def add(self, span: Span) -> None: ...

    def close(self) -> None: ...


_queue: Queue | None = None
_share = 0.0


def set_up_tracing(config: NodeConfig) -> None:
    """Begin to tell spans, if the configuration says where.

    Raises:
        ConfigError: the collector's address is not one of TLS.
    """
    # Like logs, spans belong to the process, of which there is one.
    global _queue, _share
    _queue, _share = None, 0.0
    if config.traces is not None:
        from services.node.span_export import SpanQueue  # noqa: PLC0415 - a tenth of a second of every start

        _queue, _share = SpanQueue(config, config.traces), config.traces.share


def is_told() -> bool:
    """Whether spans are told to anybody; what it takes to name one is left out otherwise."""
    return _queue is not None


def end_tracing() -> None:
    """Send what is queued."""
    if _queue is not None:
        with suppress(RuntimeError):  # No thread can be started while the interpreter ends.
            _queue.close()


def note(
    payment_id: str,
    name: str,
    began_s: float,
    *,
    ended_s: float | None = None,
    kind: Kind = "internal",
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
    if _queue is None or not is_sampled(trace_id_of(payment_id), _share):
        return
    root = root_span_id_of(payment_id)
    own = span_id or fresh_span_id()
    _queue.add(
        Span(
            name=name,
            trace_id=trace_id_of(payment_id),
            span_id=own,
            parent_id=None if own == root else parent_id or root,
            kind=kind,
            began_s=began_s,
            ended_s=time.time() if ended_s is None else ended_s,
            link=link,
            service=service,
            attributes={"countermark.payment_id": payment_id, **(attributes or {})},
        )
    )


def headers_for(payment_id: str, span_id: int) -> dict[str, str]:
    """Return what tells an outside party which trace a request is part of; nothing while that is not told."""
    if _queue is None or not is_sampled(trace_id_of(payment_id), _share):
        return {}
    return {"traceparent": traceparent(trace_id_of(payment_id), span_id)}


def fresh_span_id() -> int:
    """Return an id for a span that is named to somebody before it ends."""
    return secrets.randbits(_SPAN_BITS) or 1
