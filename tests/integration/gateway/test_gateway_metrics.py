"""Figures for Prometheus: its own parser reads the page, and nobody but the supervisor is given it."""

from __future__ import annotations

import ssl

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import CONTENT_TYPE
from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, header, payment_request
from tests.integration.node.mtls import connected

METRICS = Request("GET", f"{ORIGIN}/metrics", (), None)
# Of a process, by whatever library; see https://prometheus.io/docs/instrumenting/writing_clientlibs.
OWN_PREFIXES = ("gateway_", "process_")
UNITLESS_TYPES = ("gauge", "unknown")


async def samples(stack: Gateway) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page = await stack.send(METRICS, caller="supervisor")
    assert (200, CONTENT_TYPE) == (page.status, header(page, "Content-Type"))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.body.decode())
        for sample in family.samples
    }


async def test_names_follow_the_convention(stack: Gateway) -> None:
    page = await stack.send(METRICS, caller="supervisor")
    families = list(text_string_to_metric_families(page.body.decode()))

    assert len(families) > len(OWN_PREFIXES)
    for family in families:
        assert family.name.startswith(OWN_PREFIXES), family.name
        assert family.documentation, family.name
        if family.type == "counter":  # The parser has taken `_total` away: a family without it is no counter.
            assert all(s.name.endswith(("_total", "_created")) for s in family.samples), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name


async def test_an_answer_is_counted_by_its_route_and_status_and_its_time_is_in_a_bucket(
    stack: Gateway,
) -> None:
    counted = ("gateway_answers_total", frozenset({("route", "/v1/payments"), ("status", "202")}))
    timed = ("gateway_answer_seconds_count", frozenset({("route", "/v1/payments")}))
    before = await samples(stack)

    answer = await stack.ask(payment_request())

    after = await samples(stack)
    assert 202 == answer.status
    assert [1, 1] == [after[name] - before.get(name, 0) for name in (counted, timed)]


async def test_nothing_that_was_sent_becomes_a_label(stack: Gateway) -> None:
    await stack.ask(Request("GET", f"{ORIGIN}/v1/nothing-of-ours", (), None))

    page = await stack.send(METRICS, caller="supervisor")

    assert b"nothing-of-ours" not in page.body
    assert b'route="unmatched"' in page.body


async def test_nobody_but_the_supervisor_reads_them(stack: Gateway) -> None:
    for caller in ("edge", "payments", None):
        assert 403 == (await stack.send(METRICS, caller=caller)).status


async def test_they_are_on_loopback_and_behind_mutual_tls_alone(stack: Gateway) -> None:
    assert "127.0.0.1" == stack.config.listen.host
    bare = ssl.create_default_context(cafile=str(stack.server.pki.identity("gateway") / "trust.pem"))
    bare.check_hostname = False
    async with connected(stack.config.listen.port, bare) as stranger:
        assert await stranger.ask("/metrics") is None
    with pytest.raises((ConnectionError, OSError)):
        await stack.send(METRICS, caller="supervisor", peer="payments-sidecar")
