"""Spans reach a collector that proves who it is, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.node import tracing
from services.node.config_file import TracesConfig
from services.node.errors import ConfigError
from services.node.trace_context import root_span_id_of, trace_id_of, traceparent
from tests.integration.node.collector import Collector, collecting
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

PAYMENT = "pay_eu_01jd0000000000000000000000"


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    tracing._queue = None


def set_up(pki: ThrowAwayPki, folder: Path, collector: Collector, **changes: object) -> None:
    traces = TracesConfig(f"https://127.0.0.1:{collector.port}", spiffe("supervisor"))
    traces = msgspec.structs.replace(traces, **changes)
    tracing.set_up_tracing(msgspec.structs.replace(node_config(pki, "gateway", folder), traces=traces))


def test_spans_of_a_payment_are_one_trace_below_one_root(pki: ThrowAwayPki, tmp_path: Path) -> None:
    with collecting(pki.identity("supervisor"), spiffe("gateway")) as collector:
        set_up(pki, tmp_path, collector)
        root = root_span_id_of(PAYMENT)
        tracing.note(PAYMENT, "edge", 1.0, ended_s=1.5, span_id=root, link=(7, 8), service="edge")
        tracing.note(PAYMENT, "accept", 1.1, ended_s=1.2, attributes={"http.route": "/v1/payments"})
        tracing.end_tracing()

        edge, accept = collector.until(trace_id_of(PAYMENT), 2)

    assert ("countermark-edge", "", 500_000_000) == (edge.service, edge.parent_id, edge.took_ns)
    assert ((f"{7:032x}", f"{8:016x}"),) == edge.links
    assert ("countermark-gateway", f"{root:016x}") == (accept.service, accept.parent_id)
    assert {"countermark.payment_id": PAYMENT, "http.route": "/v1/payments"} == accept.attributes


def test_a_collector_that_is_somebody_else_gets_nothing(pki: ThrowAwayPki, tmp_path: Path) -> None:
    with collecting(pki.identity("payments"), spiffe("gateway")) as collector:
        set_up(pki, tmp_path, collector)
        tracing.note(PAYMENT, "accept", 1.0)
        tracing.end_tracing()

    assert [] == collector.bodies


def test_what_is_not_sampled_is_not_told_to_anybody(pki: ThrowAwayPki, tmp_path: Path) -> None:
    with collecting(pki.identity("supervisor"), spiffe("gateway")) as collector:
        set_up(pki, tmp_path, collector, share=0.0)
        tracing.note(PAYMENT, "accept", 1.0)
        headers = tracing.headers_for(PAYMENT, 9)
        tracing.end_tracing()

    assert ([], {}) == (collector.bodies, headers)


def test_off_there_is_nothing_to_tell_anybody() -> None:
    tracing.note(PAYMENT, "accept", 1.0)

    assert {} == tracing.headers_for(PAYMENT, 9)


def test_an_outside_party_is_told_the_span_that_its_request_belongs_to(
    pki: ThrowAwayPki, tmp_path: Path
) -> None:
    with collecting(pki.identity("supervisor"), spiffe("gateway")) as collector:
        set_up(pki, tmp_path, collector)

        assert {"traceparent": traceparent(trace_id_of(PAYMENT), 9)} == tracing.headers_for(PAYMENT, 9)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4318", "https://127.0.0.1", "https://u:p@127.0.0.1:1"])
def test_spans_leave_by_tls_alone(pki: ThrowAwayPki, tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError):
        set_up(pki, tmp_path, Collector(), url=url)
