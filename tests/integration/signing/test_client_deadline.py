"""One exchange ends in its time, however slowly a server drips; over real TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from signing import Gateway, Request, UnsignableRequest
from signing.answers import NoAnswer
from signing.transport import HTTPSTransport
from tests.unit.signing import signing_samples as samples

LIMIT_S = 0.5
DRIP_S = 0.05
DRIPS_S_MAX = 6.0  # what a client that looks at single reads alone would wait
DRIPS = {
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
}


@dataclass
class Dripping:
    port: int
    cafile: Path
    drip: tuple[bytes, bytes] = (b"", b"")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Dripping]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = Dripping(listener.getsockname()[1], tmp_path / "ca.pem")

        def serve() -> None:
            with contextlib.suppress(OSError):
                plain, _ = listener.accept()
                with plain, context.wrap_socket(plain, server_side=True) as tls:
                    tls.recv(65536)
                    first, next_ = dripping.drip
                    tls.sendall(first)
                    until = time.monotonic() + DRIPS_S_MAX
                    while time.monotonic() < until and not stop.wait(DRIP_S):
                        tls.sendall(next_)

        thread = threading.Thread(target=serve)
        thread.start()
        yield dripping
        stop.set()
        thread.join()


@pytest.mark.parametrize("part", DRIPS)
def test_an_answer_that_drips_is_given_up_in_time(server: Dripping, part: str) -> None:
    server.drip = DRIPS[part]
    origin = f"https://localhost:{server.port}"
    transport = HTTPSTransport(
        origin, cafile=server.cafile, connect_to=("127.0.0.1", server.port), answer_s_max=LIMIT_S
    )
    begun = time.monotonic()
    answer = transport.send(Request("GET", f"{origin}/v1/payments", (), None), answer_bytes_max=1000)

    assert isinstance(answer, NoAnswer)
    assert (True, False) == (answer.may_have_arrived, answer.lasting)
    assert time.monotonic() - begun < DRIPS_S_MAX / 2


def test_a_peer_that_never_shakes_hands_is_given_up_in_time(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        origin = f"https://localhost:{port}"
        transport = HTTPSTransport(
            origin, cafile=tmp_path / "ca.pem", connect_to=("127.0.0.1", port), answer_s_max=LIMIT_S
        )
        begun = time.monotonic()
        answer = transport.send(Request("GET", f"{origin}/v1/payments", (), None), answer_bytes_max=1000)

    assert isinstance(answer, NoAnswer)
    assert not answer.may_have_arrived
    assert time.monotonic() - begun < DRIPS_S_MAX / 2


def test_a_name_that_cannot_be_looked_up_is_no_answer() -> None:
    origin = f"https://{'a' * 70}.example"
    answer = HTTPSTransport(origin).send(
        Request("GET", f"{origin}/v1/payments", (), None), answer_bytes_max=1000
    )

    assert NoAnswer(f"{'a' * 70}.example is no name that can be looked up", lasting=True) == answer


def test_a_port_that_no_host_has_is_refused() -> None:
    with pytest.raises(UnsignableRequest, match="https://host:port"):
        Gateway(
            "https://127.0.0.1:99999", samples.MERCHANT_ED25519, gateway_keys=[samples.GATEWAY.verifying_key]
        )
