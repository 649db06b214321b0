"""An answer that drips in byte by byte, head or body, ends at the exchange's deadline."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from signing import Request
from signing.answers import NoAnswer
from signing.transport import HTTPSTransport

ANSWER_S_MAX = 0.6
DRIP_S = 0.05  # Far below the deadline: each single read is quick.
OVER_S_MAX = 2.0  # A busy host.
SLOW_HEAD = b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 4000
SLOW_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"a" * 4000


@contextmanager
def dripping(context: ssl.SSLContext, answer: bytes, at_once: int) -> Iterator[int]:
    """A server that answers one connection, from byte `at_once` on one byte at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(answer[:at_once])
                for byte in answer[at_once:]:
                    secured.sendall(bytes([byte]))
                    time.sleep(DRIP_S)  # The drip is what is tried.

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(("answer", "at_once"), [(SLOW_HEAD, 20), (SLOW_BODY, 44)], ids=["head", "body"])
def test_a_dripping_answer_ends_at_the_deadline(answer: bytes, at_once: int, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with dripping(context, answer, at_once) as port:
        origin = f"https://localhost:{port}"
        transport = HTTPSTransport(
            origin, cafile=tmp_path / "ca.pem", connect_to=("127.0.0.1", port), answer_s_max=ANSWER_S_MAX
        )
        begun = time.monotonic()
        result = transport.send(Request("GET", f"{origin}/v1/payments", (), None), answer_bytes_max=10_000)
        took_s = time.monotonic() - begun
        transport.close()

    assert isinstance(result, NoAnswer)
    assert result.may_have_arrived
    assert ANSWER_S_MAX + OVER_S_MAX > took_s
