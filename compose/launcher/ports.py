"""Ports from the kernel, reserved for the life of the stack.

A reserved port is bound but never listened on. Its owner may bind it too (both sides use SO_REUSEADDR),
nobody else is given it: not another server, not an outgoing connection, also while its owner is being
restarted.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from compose.launcher.errors import StartError

LOOPBACK = "127.0.0.1"


class PortReservation:
    """The ports of every listener of one stack."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def reserve(self, listener: str, *, wanted: int = 0, strict: bool = False) -> int:
        """Reserve a port for a listener and return it.

        Args:
            wanted: The port of an earlier run, or of the user's choice; 0 for any.
            strict: Whether `wanted` must be had; otherwise another port will do.

        Raises:
            StartError: `strict`, and the port is in use.
        """
        try:
            held = _bind(wanted)
        except OSError as fault:
            if strict:
                raise StartError(
                    f"port {wanted} is in use ({fault.strerror}): choose another with --port, "
                    f"or find its owner with 'ss -ltnp sport = :{wanted}'"
                ) from fault
            held = _bind(0)
        self._held[listener] = held
        return int(held.getsockname()[1])

    def close(self) -> None:
        """Give all ports back."""
        for held in self._held.values():
            held.close()


def _bind(port: int) -> socket.socket:
    if port:
        _require_free(port)
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((LOOPBACK, port))
    except OSError:
        held.close()
        raise
    return held


def _require_free(port: int) -> None:
    """Bind once without sharing: a bound port of another stack must not be shared by accident."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        # Connections of an earlier run may linger in TIME_WAIT; only a living owner is in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        probe.listen(1)


def earlier_ports(addresses_file: Path) -> dict[str, int]:
    """Ports of the last run, so that merchants find the same origin again; empty when unknown."""
    try:
        document = json.loads(addresses_file.read_text(encoding="utf-8"))
        return {name: int(entry["port"]) for name, entry in document["listeners"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
