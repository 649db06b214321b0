"""Probes against listeners that misbehave: what is seen is told, and nothing is taken for more than it is."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509

from compose.launcher.proc import started_at_ticks
from pki.consumers import probing
from pki.consumers.access import Access
from pki.consumers.contract import Credential, Expectation, Use
from pki.consumers.deployment import Listener
from pki.consumers.listener_look import ListenerLook
from pki.consumers.probing import Answer, ProbeContexts, look, probe_context
from pki.consumers.processes import send_signal
from pki.errors import ConsumerAway, GenerationError
from pki.identity import TRUST_DOMAIN_DEFAULT, WorkloadIdentity
from tests.integration.pki_consumers.authorities import Authority, LiveTree, pem

GATEWAY = WorkloadIdentity(TRUST_DOMAIN_DEFAULT, "gateway")
Behave = Callable[[ssl.SSLSocket], object]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> LiveTree:
    live = LiveTree(tmp_path_factory.mktemp("probing"))
    for name in ("gateway", "edge"):
        live.publish(name, authority.leaf(name), trust=[authority], crl=authority.crls())
    return live


def serial_of(tree: LiveTree, name: str) -> str:
    leaf = x509.load_pem_x509_certificate((tree.identity(name) / "cert.pem").read_bytes())
    return f"{leaf.serial_number:x}"


@contextmanager
def listening(context: ssl.SSLContext | None, behave: Behave, protocol: str = "http") -> Iterator[Listener]:
    """Serve connections one after the other, each by `behave` after the handshake."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = server.accept()
                with plain, suppress(OSError):
                    if context is None:
                        behave(plain)  # type: ignore[arg-type]  # in the clear
                        continue
                    with context.wrap_socket(plain, server_side=True) as connection:
                        behave(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Listener("gateway.app", "127.0.0.1", server.getsockname()[1], protocol, "edge")
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)


def context_of(tree: LiveTree, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tree.identity(name) / "cert.pem", tree.identity(name) / "key.pem")
    return context


def client(authority: Authority, credential: Credential | None = None) -> ssl.SSLContext:
    return probe_context(pem(authority.root), credential)


def answer(connection: ssl.SSLSocket) -> None:
    if connection.recv(1000):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def test_one_byte_means_accepted_an_end_means_refused_and_silence_is_neither(
    tree: LiveTree, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PROBE_S_MAX", 0.3)
    behaviours: dict[Answer, Behave] = {
        Answer.ACCEPTED: answer,
        Answer.REFUSED: lambda connection: connection.recv(1000),
        # It holds the connection until the probe has gone.
        Answer.SILENT: lambda connection: [connection.recv(1000), connection.recv(1000)],
    }
    for expected, behave in behaviours.items():
        with listening(context_of(tree, "gateway"), behave) as listener:
            sight = look(listener, GATEWAY, client(authority), ask=True)

        assert (serial_of(tree, "gateway"), expected) == (sight.serial, sight.answer)


def test_a_handshake_alone_shows_the_leaf_and_judges_nobody(tree: LiveTree, authority: Authority) -> None:
    with listening(context_of(tree, "gateway"), answer) as listener:
        sight = look(listener, GATEWAY, client(authority), ask=False)

    assert (serial_of(tree, "gateway"), Answer.NOT_ASKED) == (sight.serial, sight.answer)


def test_another_workload_and_a_stranger_are_never_asked(tree: LiveTree, authority: Authority) -> None:
    seen: list[bytes] = []

    def note(connection: ssl.SSLSocket) -> None:
        seen.append(connection.recv(1000))

    with listening(context_of(tree, "edge"), note) as listener:
        with pytest.raises(ConsumerAway, match="which is somebody else"):
            look(listener, GATEWAY, client(authority), ask=True)
        with pytest.raises(ConsumerAway, match="does not verify"):
            look(listener, GATEWAY, client(Authority.create()), ask=True)

    assert b"" == b"".join(seen)


def test_a_server_without_tls_is_away(authority: Authority) -> None:
    with (
        listening(None, lambda plain: plain.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as listener,
        pytest.raises(ConsumerAway, match=r"handshake failed|cannot be reached"),
    ):
        look(listener, GATEWAY, client(authority), ask=True)

    def decline(plain: ssl.SSLSocket) -> None:
        plain.recv(8)
        plain.sendall(b"N")

    with (
        listening(None, decline, "postgres") as listener,
        pytest.raises(ConsumerAway, match="does not offer TLS"),
    ):
        look(listener, GATEWAY, client(authority), ask=True)
    with pytest.raises(ConsumerAway, match="cannot be reached"):
        look(listener, GATEWAY, client(authority), ask=True)


def test_a_refusal_without_a_good_connection_beside_it_says_nothing(
    tree: LiveTree, authority: Authority
) -> None:
    good, bad = authority.leaf("edge"), authority.leaf("edge")
    use = {"gateway": Use(serial_of(tree, "gateway"), "", "")}
    access = Access(tree.certs, TRUST_DOMAIN_DEFAULT, Path("/nowhere"))

    def faults(listener: Listener, accepted: tuple[Credential, ...]) -> list[str]:
        expectation = Expectation(use, accepted={"edge": accepted}, refused={"edge": (bad,)})
        planned = ListenerLook.plan(access, "gateway", listener, expectation, ProbeContexts())
        return [reason for _, reason in planned.faults()]

    with listening(context_of(tree, "gateway"), lambda connection: connection.recv(1000)) as listener:
        alone, beside = faults(listener, ()), faults(listener, (good,))
    with listening(context_of(tree, "gateway"), answer) as listener:
        lax = faults(listener, (good,))

    what = f"the certificate {bad.serial} of edge was"
    nothing = f"{what} refused, which says nothing: no good one was accepted"
    assert [nothing] == alone
    assert [f"the certificate {good.serial} of edge was refused; it must be accepted", nothing] == beside
    assert [f"{what} accepted; it must be refused"] == lax


def test_probes_leave_no_key_behind(authority: Authority) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    credential = authority.leaf("edge")
    client(authority, credential)
    wrong = Credential(credential.chain, authority.leaf("edge").key, credential.serial)
    with pytest.raises(GenerationError):
        client(authority, wrong)

    assert before == len(list(Path("/proc/self/fd").iterdir()))
    assert "PRIVATE" not in repr(credential)


def test_a_signal_reaches_the_recorded_process_and_no_other(tmp_path: Path) -> None:
    record = tmp_path / "processes.json"
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        started = started_at_ticks(child.pid)
        assert started is not None
        row = {"name": "nats", "pid": child.pid, "started_at_ticks": started + 1}
        record.write_text(json.dumps([row]))
        with pytest.raises(ConsumerAway, match="was started again"):
            send_signal(record, "nats", signal.SIGTERM)
        with pytest.raises(ConsumerAway, match="is not running"):
            send_signal(record, "redis", signal.SIGTERM)
        assert child.poll() is None
        record.write_text(json.dumps([row | {"started_at_ticks": started}]))
        send_signal(record, "nats", signal.SIGTERM)

        assert -signal.SIGTERM == child.wait(10)
    with pytest.raises(ConsumerAway, match="has ended"):
        send_signal(record, "nats", signal.SIGTERM)
    record.write_text("{}")
    with pytest.raises(ConsumerAway):
        send_signal(record, "nats", signal.SIGTERM)
