"""Whom the client connects to, whose keys it believes, and what it asks: over real TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from signing import (
    AnswerNotTrusted,
    Gateway,
    GatewayUnreachable,
    KeyRefused,
    UnsignableRequest,
    keys_to_jwks,
)
from signing.client import random_text
from signing.exchange import Surroundings
from tests.integration.signing.client_runs import PAYMENT, Merchant, merchant
from tests.integration.signing.wire_answers import accept
from tests.integration.signing.wire_server import (
    WAIT_S_MAX,
    WireServer,
    http,
    parse_raw,
    running_wire_server,
    signed_answer,
)
from tests.unit.signing import signing_samples as samples

__all__ = ["merchant"]  # a fixture, found by name in this module
NEXT = samples.ed25519_key("gateway, next")
SHOWN = [samples.GATEWAY]


def answer_all(raw: bytes) -> bytes:
    """Show the keys to whoever asks for them; sign everything else."""
    if raw.startswith(b"GET /.well-known/countermark-keys HTTP/1.1\r\n"):
        jwks = keys_to_jwks([key.verifying_key for key in SHOWN])
        return http(200, (("Content-Type", "application/jwk-set+json"),), jwks)
    return signed_answer(raw, SHOWN[0], 202, samples.ANSWER)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with running_wire_server(tmp_path_factory.mktemp("connections"), answer_all) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: WireServer) -> Iterator[None]:
    server.received.clear()
    server.script.clear()
    yield
    SHOWN[:] = [samples.GATEWAY]


def test_without_pins_the_keys_are_fetched_once_and_unsigned(server: WireServer, merchant: Merchant) -> None:
    merchant.options["gateway_keys"] = None
    merchant.pay()
    first, second = server.requests()

    assert server.origin + "/.well-known/countermark-keys" == first.target_uri
    assert not {"signature", "signature-input"} & {name.lower() for name, _ in first.headers}
    assert "POST" == second.method


def test_of_fetched_keys_only_the_pinned_ones_are_believed(server: WireServer, merchant: Merchant) -> None:
    SHOWN[:] = [samples.MALLORY, samples.GATEWAY]
    merchant.options |= {"gateway_keys": None, "gateway_key_ids": [samples.GATEWAY.key_id]}
    with pytest.raises(AnswerNotTrusted) as refused:
        merchant.pay()

    assert "receipt_key_unknown" == refused.value.reason


def test_when_no_pinned_key_is_shown_nothing_is_sent(server: WireServer, merchant: Merchant) -> None:
    merchant.options |= {"gateway_keys": None, "gateway_key_ids": [NEXT.key_id]}
    with pytest.raises(GatewayUnreachable, match="pinned"):
        merchant.pay()

    assert ["GET"] == [request.method for request in server.requests()]


def test_pinned_keys_are_never_fetched(server: WireServer, merchant: Merchant) -> None:
    SHOWN[:] = [NEXT]
    with pytest.raises(AnswerNotTrusted):
        merchant.pay()

    assert ["POST"] == [request.method for request in server.requests()]


def test_a_rotated_key_is_fetched_when_it_signs(server: WireServer) -> None:
    moment, sample = [1000.0], cast("Any", PAYMENT)
    merchant = Merchant(server, "blocking")
    with Gateway(
        server.origin, merchant.signer, cafile=server.cafile, surroundings=_surroundings(moment)
    ) as gateway:
        gateway.payments.create(**sample)
        SHOWN[:] = [NEXT, samples.GATEWAY]
        with pytest.raises(AnswerNotTrusted):
            gateway.payments.create(**sample)
        moment[0] += 31
        answer = gateway.payments.create(**sample)

    assert NEXT.key_id == answer.receipt.key_id
    assert 2 == len([request for request in server.requests() if "well-known" in request.target_uri])


def _surroundings(moment: list[float]) -> Surroundings:
    return Surroundings(now=time.time, elapsed=lambda: moment[0], chance=lambda: 0.0, nonce=random_text)


def test_pins_that_contradict_each_other_are_refused(server: WireServer) -> None:
    key = samples.GATEWAY.verifying_key
    for keys, ids in (([key], [key.key_id]), ([], None), (None, []), (None, ["short"])):
        with pytest.raises(KeyRefused):
            Gateway(server.origin, samples.MERCHANT_ED25519, gateway_keys=keys, gateway_key_ids=ids)


@pytest.mark.parametrize("address", ["http://pay.example", "https://PAY.example", "https://pay.example:443",
                                     "https://pay.example/v1", "https://u@pay.example"])  # fmt: skip
def test_an_address_that_cannot_be_signed_is_refused(address: str) -> None:
    with pytest.raises(UnsignableRequest):
        Gateway(address, samples.MERCHANT_ED25519)


def test_where_nobody_listens_nothing_was_sent(server: WireServer, merchant: Merchant) -> None:
    # Bound and not listened on: nobody else can take the port meanwhile.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        merchant.options["origin"] = f"https://localhost:{held.getsockname()[1]}"
        with pytest.raises(GatewayUnreachable) as unreachable:
            merchant.pay(idempotency_key="order-2041-attempt-1")

    assert "order-2041-attempt-1" == unreachable.value.idempotency_key
    assert 3 == len(merchant.pauses)


def test_a_foreign_certificate_ends_it_at_once(
    server: WireServer, merchant: Merchant, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.pem"
    trustme.CA().cert_pem.write_to_path(str(foreign))
    merchant.options["cafile"] = foreign
    with pytest.raises(GatewayUnreachable, match="certificate"):
        merchant.pay()

    assert ([], []) == (server.received, merchant.pauses)


def test_a_certificate_of_another_name_ends_it_at_once(server: WireServer, merchant: Merchant) -> None:
    merchant.options |= {
        "origin": "https://pay.countermark.example",
        "connect_to": ("127.0.0.1", server.port),
    }
    with pytest.raises(GatewayUnreachable, match="certificate"):
        merchant.pay()

    assert ([], []) == (server.received, merchant.pauses)


def test_another_address_is_connected_to_and_the_name_is_still_what_counts(
    merchant: Merchant, tmp_path: Path
) -> None:
    name = "pay.countermark.example"
    with running_wire_server(tmp_path, accept, name=name) as elsewhere:
        merchant.server = elsewhere
        merchant.options |= {"origin": f"https://{name}", "connect_to": ("127.0.0.1", elsewhere.port)}
        answer = merchant.pay()
        (raw,) = elsewhere.received

    assert 202 == answer.status
    assert f"https://{name}/v1/payments" == parse_raw(raw).target_uri


def test_tls_before_1_3_is_refused(merchant: Merchant, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "old.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    authority.issue_cert("localhost").configure_cert(context)
    with running_wire_server(tmp_path, accept, context=context) as old:
        merchant.server = old
        merchant.options["cafile"] = tmp_path / "old.pem"
        with pytest.raises(GatewayUnreachable):
            merchant.pay()

    assert [] == old.received


def test_a_connection_is_used_again_and_one_that_was_closed_is_not(tmp_path: Path) -> None:
    pauses: list[float] = []
    with (
        running_wire_server(tmp_path, answer_all) as server,
        Gateway(
            server.origin,
            samples.MERCHANT_ED25519,
            gateway_keys=[samples.GATEWAY.verifying_key],
            cafile=server.cafile,
            sleep=pauses.append,
        ) as gateway,
    ):
        gateway.payments.read("pay_eu_1")
        gateway.payments.read("pay_eu_1")
        once = server.connections
        server.script.append(
            lambda raw: accept(raw).replace(b"\r\n", b"\r\nX-Note: Connection: close\r\n", 1)
        )
        gateway.payments.read("pay_eu_1")
        server.ended.get(timeout=WAIT_S_MAX)
        gateway.payments.read("pay_eu_1")

    assert (1, 2, []) == (once, server.connections, pauses)


def test_threads_share_one_client(server: WireServer) -> None:
    keys = [samples.GATEWAY.verifying_key]
    with (
        Gateway(server.origin, samples.MERCHANT_ED25519, gateway_keys=keys, cafile=server.cafile) as gateway,
        ThreadPoolExecutor(12) as pool,
    ):
        answers = list(pool.map(lambda n: gateway.payments.read(f"pay_eu_{n}"), range(60)))

    asked = [answer.receipt.signed.request.target_uri for answer in answers]
    assert [f"{server.origin}/v1/payments/pay_eu_{n}" for n in range(60)] == asked
    assert 60 == len(set(server.received))
