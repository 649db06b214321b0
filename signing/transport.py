"""The client's own transport: HTTPS from the standard library, TLS 1.3 with verification, always.

Nothing is followed, decoded, retried or sent that was not in the request but Host,
Content-Length and Connection. It returns what came back, or why nothing did. Safe
for several threads. Source: RFC 9112, RFC 8446.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from .answers import ANSWER_S_MAX, NoAnswer
from .message import Request, Response

if TYPE_CHECKING:
    from pathlib import Path

CONNECT_S_MAX: Final = 10.0  # connection and handshake, together; both take milliseconds
_IDLE_MAX: Final = 8  # connections kept; more threads than this at once open their own
_IDLE_S_MAX: Final = 20.0  # shorter than servers wait, so that few are found closed
_CHUNK_BYTES: Final = 64 * 1024
_HTTPS_PORT: Final = 443
_TIMEOUT_S_MIN: Final = 0.001  # a timeout of nothing would mean not to wait at all


class Transport(Protocol):
    """Sends a request to the origin in its target URI over verified TLS, follows nothing, raises nothing
    about the network: what went wrong there is the answer. Called from several threads at once.
    """

    def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer: ...

    def close(self) -> None: ...


class _BoundedSocket(ssl.SSLSocket):
    """Ends an exchange at its deadline, however slowly bytes drip: http.client reads in many steps."""

    deadline: float  # on the monotonic clock; set before each exchange

    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as the class above has them
        self._bound()
        return super().recv_into(*arguments, **named)

    def send(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as the class above has them
        self._bound()
        return super().send(*arguments, **named)

    def _bound(self) -> None:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.settimeout(left_s)


@dataclass(slots=True)
class _Idle:
    connection: http.client.HTTPConnection
    since: float


class HTTPSTransport:
    """Connections to one gateway, kept open and shared by threads.

    Args:
        origin: `https://host` or `https://host:port`; the certificate must be for this host.
        cafile: PEM file of the only authorities to believe; None for the system's.
        connect_to: address and port to connect to instead; the certificate must still be for the origin's
            host. For demonstrations on one machine, like `curl --connect-to`.
        answer_s_max: how long an exchange may take, connecting included; the resolver has its own limits.
    """

    def __init__(
        self,
        origin: str,
        *,
        cafile: str | Path | None = None,
        connect_to: tuple[str, int] | None = None,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self._origin = origin
        self._authority = origin.removeprefix("https://")
        host, separator, port = self._authority.rpartition(":")
        if not separator or not port.isdecimal():
            host, port = self._authority, str(_HTTPS_PORT)
        self._host = host.removeprefix("[").removesuffix("]")
        self._address = connect_to or (self._host, int(port))
        self._answer_s_max = answer_s_max
        self._context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.sslsocket_class = _BoundedSocket
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer:
        """Send a request; see `Transport`."""
        if not request.target_uri.startswith(self._origin + "/"):
            return NoAnswer("the request is for another origin than this transport", lasting=True)
        deadline = time.monotonic() + self._answer_s_max
        connection = self._take()
        if connection is None:
            opened = self._open(deadline)
            if isinstance(opened, NoAnswer):
                return opened
            connection = opened
        try:
            answer = self._exchange(connection, request, answer_bytes_max, deadline)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return NoAnswer(f"the connection failed: {_name(error)}", may_have_arrived=True)
        except BaseException:
            connection.close()
            raise
        if isinstance(answer, NoAnswer) or connection.sock is None:
            connection.close()
        else:
            self._keep(connection)
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.connection.close()

    def _open(self, deadline: float) -> http.client.HTTPConnection | NoAnswer:
        deadline = min(deadline, time.monotonic() + CONNECT_S_MAX)
        try:
            plain = _connect(self._address, deadline)
        except UnicodeError:
            return NoAnswer(f"{self._authority} is no name that can be looked up", lasting=True)
        except OSError as error:
            return NoAnswer(f"no connection to {self._authority}: {_name(error)}")
        try:
            plain.settimeout(max(_TIMEOUT_S_MIN, deadline - time.monotonic()))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self._context.wrap_socket(plain, server_hostname=self._host)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            return NoAnswer(f"the certificate is not {self._host}'s: {error.verify_message}", lasting=True)
        except OSError as error:
            plain.close()
            return NoAnswer(f"no TLS 1.3 with {self._authority}: {_name(error)}")
        connection = http.client.HTTPConnection(self._host)
        # Only this socket is ever used: the class would open a new one, in plaintext, when it is closed.
        connection.auto_open = 0
        connection.sock = secured
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        request: Request,
        answer_bytes_max: int,
        deadline: float,
    ) -> Response | NoAnswer:
        secured = connection.sock
        assert isinstance(secured, _BoundedSocket)
        secured.deadline = deadline
        target = request.target_uri[len(self._origin) :]
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self._authority)
        for name, value in request.headers:
            connection.putheader(name, value)
        if request.body is not None:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        body = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > answer_bytes_max:
                return NoAnswer(f"the answer has more than {answer_bytes_max} bytes", may_have_arrived=True)
        if answer.length:
            return NoAnswer("the connection ended before the answer did", may_have_arrived=True)
        answer.close()  # read to its end: the connection may carry the next exchange
        return Response(answer.status, tuple(answer.getheaders()), bytes(body))

    def _take(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                idle = self._idle.pop()
            is_fresh = time.monotonic() - idle.since < _IDLE_S_MAX
            if is_fresh and not _has_something_to_read(idle.connection.sock):
                return idle.connection
            idle.connection.close()

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MAX:
                self._idle.append(_Idle(connection, time.monotonic()))
                return
        connection.close()


def _connect(address: tuple[str, int], deadline: float) -> socket.socket:
    """Connect to the first address of a name that answers, all within the deadline."""
    failure = OSError("no address")
    for family, kind, protocol, _, each in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(left_s)
            plain.connect(each)
        except OSError as error:
            plain.close()
            failure = error
        except BaseException:
            plain.close()
            raise
        else:
            return plain
    raise failure


def _has_something_to_read(idle: socket.socket) -> bool:
    """Tell whether an idle connection can be read from: nothing was asked, so it was closed by the server."""
    if isinstance(idle, ssl.SSLSocket) and idle.pending():
        return True
    if not hasattr(select, "poll"):  # Windows, where `select` knows no largest descriptor
        return bool(select.select([idle], [], [], 0)[0])
    poll = select.poll()
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))


def _name(error: Exception) -> str:
    """Name a failure without repeating what a peer sent."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLError):
        return f"TLS {error.reason or 'failure'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
