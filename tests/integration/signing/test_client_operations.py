"""What each operation asks over the wire, and how long it waits for what is not ready yet."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from signing import (
    AnswerNotTrusted,
    GatewayRefused,
    OutcomeUnknown,
    SigningKey,
    parse_request,
    registration_statement,
    verify_possession,
    verify_request,
)
from tests.integration.signing.client_runs import Merchant, merchant
from tests.integration.signing.wire_answers import accept, cut, refuse
from tests.integration.signing.wire_server import WireServer, running_wire_server, signed_answer
from tests.unit.signing import signing_samples as samples

__all__ = ["merchant"]  # a fixture, found by name in this module


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with running_wire_server(tmp_path_factory.mktemp("operations"), accept) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: WireServer) -> None:
    server.received.clear()
    server.script.clear()


def test_evidence_is_waited_for_and_comes_as_bytes(server: WireServer, merchant: Merchant) -> None:
    bundle = b"\x1f\x8b\x08 a tar.gz"
    pending = refuse(409, "evidence_pending", ("Retry-After", "2"))
    server.script += [pending] * 6
    server.script.append(
        lambda raw: signed_answer(raw, samples.GATEWAY, 200, bundle, kind="application/gzip")
    )
    got = merchant.run(lambda gateway: gateway.evidence.download("pay_eu_1"))

    assert bundle == got
    assert 6 == len(merchant.pauses)
    assert all(2.0 <= pause < 2.3 for pause in merchant.pauses)
    nonces = {parse_request(r, origins=frozenset({server.origin})).nonce for r in server.requests()}
    assert 7 == len(nonces)


def test_evidence_is_not_waited_for_longer_than_asked(server: WireServer, merchant: Merchant) -> None:
    server.script += [refuse(409, "evidence_pending", ("Retry-After", "9"))] * 3
    with pytest.raises(GatewayRefused) as refused:
        merchant.run(lambda gateway: gateway.evidence.download("pay_eu_1", wait_s_max=5))

    assert ("evidence_pending", 9.0) == (refused.value.problem_code, refused.value.problem.retry_after_s)
    assert 1 == len(server.received)


def test_a_result_of_another_type_is_no_evidence(server: WireServer, merchant: Merchant) -> None:
    with pytest.raises(AnswerNotTrusted):
        merchant.run(lambda gateway: gateway.evidence.download("pay_eu_1"))


def test_a_read_that_got_no_answer_needs_no_key(server: WireServer, merchant: Merchant) -> None:
    server.script += [cut] * 4
    with pytest.raises(OutcomeUnknown) as unknown:
        merchant.run(lambda gateway: gateway.payments.read("pay_eu_1"))

    assert None is unknown.value.idempotency_key


@pytest.mark.parametrize(
    ("operation", "line", "body"),
    [
        (lambda g: g.payments.list(status="failed", limit=5), "GET /v1/payments?limit=5&status=failed", None),
        (lambda g: g.payments.events("pay_eu_1"), "GET /v1/payments/pay_eu_1/events", None),
        (lambda g: g.payments.capture("pay_eu_1", amount=5),
         "POST /v1/payments/pay_eu_1/capture", {"amount": 5}),
        (lambda g: g.payments.cancel("pay_eu_1"), "POST /v1/payments/pay_eu_1/cancel", {}),
        (lambda g: g.refunds.create("pay_eu_1"), "POST /v1/payments/pay_eu_1/refunds", {}),
        (lambda g: g.refunds.cancel("ref_eu_1"), "POST /v1/refunds/ref_eu_1/cancel", {}),
        (lambda g: g.refunds.list(payment_id="pay_eu_1"), "GET /v1/refunds?payment_id=pay_eu_1", None),
        (lambda g: g.refunds.read("ref_eu_1"), "GET /v1/refunds/ref_eu_1", None),
        (lambda g: g.events.list(limit=2), "GET /v1/events?limit=2", None),
        (lambda g: g.keys.list(), "GET /v1/keys", None),
        (lambda g: g.keys.revoke("k_1", reason="lost"), "POST /v1/keys/k_1/revoke", {"reason": "lost"}),
    ],
    ids=["list", "events", "capture", "cancel", "refund", "cancel refund", "refunds", "read refund",
         "all events", "keys", "revoke"],
)  # fmt: skip
def test_each_operation_asks_for_its_route(server: WireServer, operation: Any, line: str, body: Any) -> None:
    Merchant(server, "blocking").run(operation)
    (request,) = server.requests()
    signed = parse_request(request, origins=frozenset({server.origin}))
    verify_request(signed, samples.MERCHANT_ED25519.verifying_key, now=int(time.time()))

    assert line == f"{request.method} {request.target_uri.removeprefix(server.origin)}"
    assert body == (None if request.body is None else json.loads(request.body))


def test_a_later_key_comes_with_its_own_proof(server: WireServer, merchant: Merchant) -> None:
    new, now = SigningKey.generate("ecdsa-p256-sha256"), int(time.time())
    merchant.run(lambda gateway: gateway.keys.register(new, merchant_id="m_1", now=now))
    body = json.loads(server.requests()[0].body or b"")

    statement = registration_statement("m_1", new.key_id, new.alg, body["issued_at"])
    assert verify_possession(
        statement, base64.b64decode(body["proof"]), new.verifying_key, merchant_id="m_1", now=now
    ).key_id == new.key_id  # fmt: skip
