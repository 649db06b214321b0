"""The client against a gateway, a network or a proxy that misbehaves; judged by what came over the wire."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from signing import (
    AnswerNotTrusted,
    GatewayRefused,
    GatewayUnreachable,
    OutcomeUnknown,
    parse_request,
    verify_request,
)
from tests.integration.signing.client_runs import PAYMENT, Merchant, merchant
from tests.integration.signing.wire_answers import accept, busy, cut, refuse, refuse_unsigned
from tests.integration.signing.wire_server import (
    WireServer,
    http,
    parse_raw,
    running_wire_server,
    signed_answer,
)
from tests.unit.signing import signing_samples as samples

__all__ = ["merchant"]  # a fixture, found by name in this module
KEY = "order-2041-attempt-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with running_wire_server(tmp_path_factory.mktemp("faults"), accept) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: WireServer) -> None:
    server.received.clear()
    server.script.clear()


def test_a_payment_is_signed_sent_and_answered_with_its_receipt(
    server: WireServer, merchant: Merchant
) -> None:
    answer = merchant.pay(idempotency_key=KEY, merchant_reference="order-1")
    (raw,) = server.received
    signed = parse_request(parse_raw(raw), origins=frozenset({server.origin}))
    verify_request(signed, samples.MERCHANT_ED25519.verifying_key, now=int(time.time()))

    assert PAYMENT | {"merchant_reference": "order-1"} == json.loads(signed.request.body or b"")
    assert (202, "pay_eu_1", KEY) == (answer.status, answer["id"], answer.idempotency_key)
    assert answer.receipt.signed.signature == signed.signature


@pytest.mark.parametrize("fault", [cut, busy, refuse(503, "cell_unavailable", retryable=True),
                                   refuse(409, "idempotency_key_in_progress")],
    ids=["cut", "busy edge", "no record", "in progress"])  # fmt: skip
def test_a_repeat_keeps_key_and_body_and_is_signed_anew(
    server: WireServer, merchant: Merchant, fault: Any
) -> None:
    server.script += [fault, fault]
    answer = merchant.pay()
    requests = [parse_request(r, origins=frozenset({server.origin})) for r in server.requests()]

    assert 3 == len(requests)
    assert {answer.idempotency_key} == {each.idempotency_key for each in requests}
    assert 1 == len({each.request.body for each in requests})
    assert 3 == len({each.nonce for each in requests})
    assert 2 == len(merchant.pauses)


def test_retry_after_is_waited_out_in_both_forms(server: WireServer, merchant: Merchant) -> None:
    date = ("Date", formatdate(1_790_000_000, usegmt=True))
    later = ("Retry-After", formatdate(1_790_000_005, usegmt=True))
    server.script += [busy, lambda _: http(503, (date, later), b"")]
    merchant.pay()

    assert 3.0 <= merchant.pauses[0] < 3.3
    assert 5.0 <= merchant.pauses[1] < 5.5


def test_a_key_that_is_made_is_the_same_on_answer_and_error(server: WireServer, merchant: Merchant) -> None:
    server.script += [
        refuse(422, "validation_failed", errors=[{"pointer": "/amount", "detail": "Expected int"}])
    ]
    with pytest.raises(GatewayRefused) as refused:
        merchant.pay()
    (request,) = server.requests()

    assert f'"{refused.value.idempotency_key}"' == samples.header(request, "idempotency-key")
    assert (422, "validation_failed", False) == (
        refused.value.status, refused.value.problem_code, refused.value.retryable,
    )  # fmt: skip
    assert refused.value.receipt is not None
    assert "/amount: Expected int" in str(refused.value)


def _unsigned(_: bytes) -> bytes:
    return http(202, (("Content-Type", "application/json"),), samples.ANSWER)


def _garbage(raw: bytes) -> bytes:
    head, _, rest = accept(raw).partition(b"Signature: countermark=:")
    return head + b"Signature: countermark=:" + b"A" * 86 + b"==:" + rest[rest.index(b"\r\n") :]


def _of_another_body(raw: bytes) -> bytes:
    return accept(raw).replace(b"pay_eu_1", b"pay_eu_2")


def _by_another_key(raw: bytes) -> bytes:
    return signed_answer(raw, samples.MALLORY, 202, samples.ANSWER)


def _redirect(_: bytes) -> bytes:
    return http(307, (("Location", "/v1/payments"),), b"")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (_unsigned, "receipt_missing"),
        (_garbage, "receipt_signature_invalid"),
        (_of_another_body, "receipt_digest_mismatch"),
        (_by_another_key, "receipt_key_unknown"),
        (_redirect, "redirect_refused"),
    ],
)
def test_an_answer_that_is_not_provably_the_gateways_is_no_result(
    server: WireServer, merchant: Merchant, script: Any, reason: str
) -> None:
    server.script.append(script)
    with pytest.raises(AnswerNotTrusted) as refused:
        merchant.pay(idempotency_key=KEY)

    assert (reason, KEY, 1) == (refused.value.reason, refused.value.idempotency_key, len(server.received))
    assert "pay_eu" not in str(refused.value)


def test_a_receipt_for_another_request_proves_nothing(server: WireServer, merchant: Merchant) -> None:
    merchant.pay()
    other = server.received[0]
    server.script.append(lambda _: accept(other))
    with pytest.raises(AnswerNotTrusted) as refused:
        merchant.pay()

    assert "receipt_signature_invalid" == refused.value.reason


def test_after_all_retries_the_outcome_is_unknown_and_the_error_says_how_to_go_on(
    server: WireServer, merchant: Merchant
) -> None:
    server.script += [cut] * 4
    with pytest.raises(OutcomeUnknown) as unknown:
        merchant.pay()
    key = unknown.value.idempotency_key
    again = merchant.pay(idempotency_key=key)

    assert not isinstance(unknown.value, GatewayUnreachable)
    assert f"use the idempotency key {key}" in str(unknown.value)
    assert (4 + 1, 202) == (len(server.received), again.status)
    assert {f'"{key}"'} == {samples.header(request, "idempotency-key") for request in server.requests()}


@pytest.mark.parametrize(
    "last",
    [refuse_unsigned(401, "key_revoked"), refuse(403, "not_permitted"), refuse_unsigned(400, "x_y")],
    ids=["401", "403", "400"],
)
def test_a_refusal_of_the_sender_does_not_hide_that_an_earlier_attempt_may_have_arrived(
    server: WireServer, merchant: Merchant, last: Any
) -> None:
    server.script += [cut, last]
    with pytest.raises(OutcomeUnknown) as unknown:
        merchant.pay(idempotency_key=KEY)

    assert isinstance(unknown.value.__cause__, GatewayRefused)


def test_a_signed_refusal_of_the_operation_settles_an_earlier_doubt(
    server: WireServer, merchant: Merchant
) -> None:
    server.script += [cut, refuse(422, "currency_not_supported")]
    with pytest.raises(GatewayRefused) as refused:
        merchant.pay()

    assert "currency_not_supported" == refused.value.problem_code


def test_a_401_shows_the_first_difference(server: WireServer, merchant: Merchant) -> None:
    def answer(raw: bytes) -> bytes:
        signed = parse_request(parse_raw(raw), origins=frozenset({server.origin}))
        seen = signed.signature_base.replace(b"/v1/payments", b"/v1/refunds")
        base = base64.b64encode(seen).decode()
        refusal: bytes = refuse_unsigned(401, "signature_invalid", signature_base=base)(raw)
        return refusal

    server.script.append(answer)
    with pytest.raises(GatewayRefused) as refused:
        merchant.pay()

    assert b"/v1/refunds" in (refused.value.signature_base or b"")
    assert None is refused.value.receipt
    assert any('"@target-uri"' in note for note in refused.value.__notes__)


def test_a_wrong_clock_is_measured_from_the_answers_date(server: WireServer, merchant: Merchant) -> None:
    date = ("Date", formatdate(time.time() + 900, usegmt=True))
    server.script.append(refuse_unsigned(401, "signature_expired", date))
    with pytest.raises(GatewayRefused) as refused:
        merchant.pay()

    assert 895 < (refused.value.clock_drift_s or 0) < 905
    assert "behind the gateway's: set it" in str(refused.value)


def test_a_read_that_is_called_a_replay_is_read_again(server: WireServer, merchant: Merchant) -> None:
    server.script.append(refuse(401, "signature_replayed"))
    answer = merchant.run(lambda gateway: gateway.payments.read("pay_eu_1"))

    assert (202, 2) == (answer.status, len(server.received))


def test_an_endless_answer_is_not_read_to_its_end(server: WireServer, merchant: Merchant) -> None:
    server.script += [lambda _: http(200, (), b"x" * 1_100_000)] * 4
    with pytest.raises(OutcomeUnknown, match="more than 1048576 bytes"):
        merchant.run(lambda gateway: gateway.payments.read("pay_eu_1"))


@pytest.mark.parametrize("field", ["Connection: close", "X-Connection: kept"])
def test_an_answer_that_is_not_whole_is_no_answer(server: WireServer, merchant: Merchant, field: str) -> None:
    line = b"\r\n" + field.encode() + b"\r\n\r\n"
    server.script.append(lambda raw: accept(raw)[:-1].replace(b"\r\n\r\n", line))
    merchant.options["answer_s_max"] = 1.0
    answer = merchant.pay()

    assert (202, 2) == (answer.status, len(server.received))


def test_a_key_service_that_goes_away_does_not_hide_an_earlier_attempt(
    server: WireServer, merchant: Merchant
) -> None:
    answers = iter([1])

    class Fading:
        alg, key_id = samples.MERCHANT_ED25519.alg, samples.MERCHANT_ED25519.key_id

        def sign(self, base: bytes, /) -> bytes:
            if next(answers, None) is None:
                raise ConnectionError("the key service is away")
            return samples.MERCHANT_ED25519.sign(base)

    merchant.signer = Fading()
    server.script.append(cut)
    with pytest.raises(OutcomeUnknown) as unknown:
        merchant.pay(idempotency_key=KEY)
    with pytest.raises(ConnectionError):
        merchant.pay()

    assert (KEY, ConnectionError) == (unknown.value.idempotency_key, type(unknown.value.__cause__))


def test_an_operation_that_is_still_in_progress_is_not_called_refused(
    server: WireServer, merchant: Merchant
) -> None:
    server.script += [refuse(409, "idempotency_key_in_progress")] * 4
    with pytest.raises(OutcomeUnknown):
        merchant.pay()
