"""Read from /proc, not from configuration: what the stack listens on, and what it answers to plaintext."""

from __future__ import annotations

import asyncio
import re
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509

from compose.launcher.proc import with_descendants
from compose.launcher.stack import Stack

LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
SILENCE_S = 1.0  # NATS with its handshake second would greet at once; a second of silence is an answer, too.
ALERT, HANDSHAKE = 0x15, 0x16

# What people and scanners say first, in each protocol that lives behind these ports.
GREETINGS = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "nats": b'CONNECT {"verbose":false}\r\nPING\r\n',
    "postgres": b"\x00\x00\x00\x17\x00\x03\x00\x00user\x00postgres\x00\x00",
}


def pids_of(stack: Stack) -> list[int]:
    return [child for pid in stack.supervisor.pids().values() for child in with_descendants(pid)]


def socket_inodes(pids: list[int]) -> set[str]:
    found = set()
    for pid in pids:
        try:
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except FileNotFoundError:
            continue  # A backend that ended, or a file it closed, while we looked: it listens on nothing.
        except PermissionError:
            pytest.skip("who handles card numbers is closed to its own account: run this as root")
        found |= {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    return found


def tcp_listeners(pids: list[int]) -> set[tuple[str, int]]:
    inodes, found = socket_inodes(pids), set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                address, port = fields[1].split(":")
                host = socket.inet_ntoa(bytes.fromhex(address)[::-1]) if table == "tcp" else address
                found.add((host, int(port, 16)))
    return found


async def answer_to(host: str, port: int, greeting: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(greeting)
        async with asyncio.timeout(SILENCE_S):
            return await reader.read(64)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


def test_every_listener_is_declared_and_on_loopback(stack: Stack) -> None:
    declared = {(address.host, address.port): name for name, address in stack.places.addresses.items()}

    found = {declared.get(listener, listener) for listener in tcp_listeners(pids_of(stack))}

    assert set(declared.values()) == found


@pytest.mark.parametrize("protocol", GREETINGS)
async def test_no_listener_answers_plaintext(stack: Stack, protocol: str) -> None:
    listeners = sorted(tcp_listeners(pids_of(stack)))

    answers = await asyncio.gather(*(answer_to(*listener, GREETINGS[protocol]) for listener in listeners))

    for (_, port), answer in zip(listeners, answers, strict=True):
        if port == stack.ports["postgres.tls"] and protocol == "postgres":
            # Its protocol has no other way to refuse: one error, no authentication request, no data.
            assert answer[:1] == b"E"
            continue
        # A TLS alert is the only thing that may come back.
        assert answer == b"" or answer[0] == ALERT, (port, answer)


def test_unix_sockets_are_the_envoys_own_and_for_their_own_account_alone(stack: Stack) -> None:
    """No line of a merchant or a hop crosses them; who may open one is decided by the kernel."""
    expected = {
        str(stack.places.admin_socket(name)): stack.accounts[name].uid for name in stack.mesh.envoys()
    }
    inodes = socket_inodes(pids_of(stack))
    listening = [
        fields[7]
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(fields := line.split()) == 8 and fields[6] in inodes
    ]

    assert sorted(expected) == sorted(listening)
    for path in listening:
        socket_is, folder_is = Path(path).stat(), Path(path).parent.stat()
        assert (0o600, expected[path]) == (stat.S_IMODE(socket_is.st_mode), socket_is.st_uid)
        assert (0o700, expected[path]) == (stat.S_IMODE(folder_is.st_mode), folder_is.st_uid)


def asked(stack: Stack, name: str, method: str, target: str) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SILENCE_S)
        connection.connect(str(stack.places.admin_socket(name)))
        connection.sendall(f"{method} {target} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize(
    "target", ["/quitquitquit", "/logging?level=trace", "/drain_listeners", "/server_info"]
)
def test_an_envoy_can_be_asked_what_it_holds_and_told_nothing(stack: Stack, target: str) -> None:
    for name in stack.mesh.envoys():
        serial = x509.load_pem_x509_certificate((stack.places.identity(name) / "cert.pem").read_bytes())
        status, body = asked(stack, name, "GET", "/certs")

        assert (200, True) == (status, f"{serial.serial_number:x}".encode() in body)
        for allowed in ("/stats?format=json&filter=key_rotation_failed",
                        "/config_dump?resource=dynamic_active_secrets"):  # fmt: skip
            assert 200 == asked(stack, name, "GET", allowed)[0]
        _, dumped = asked(stack, name, "GET", "/config_dump")
        assert b"PRIVATE KEY" not in dumped
        assert 403 == asked(stack, name, "POST", target)[0]
    assert set(stack.mesh.envoys()) <= set(stack.supervisor.pids())
