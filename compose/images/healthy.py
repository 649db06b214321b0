"""Is the store of this container well? `python -m compose.images.healthy NAME`: exit 0 when it is, else 1.

Well is: a TLS 1.3 handshake completes in which the store proves its SPIFFE id. The container's own identity
asks, since no other is mounted; that it may not log in is of no account.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys

from compose.derive.container_places import places_in_containers
from compose.derive.places import Places
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, read_mesh
from pki.errors import PKIError
from pki.tls import client_context

ANSWER_S_MAX = 2.0  # Below the engine's own limit for a check, so that it is we who say why.
# PostgreSQL's SSLRequest: length 8, code 80877103; one byte `S` is the only answer that goes on.
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def require_healthy(mesh: Mesh, places: Places, name: str) -> None:
    """Complete one handshake.

    Args:
        name: The store, or one node of it.

    Raises:
        OSError: No connection, no TLS, or not that store (`ssl.SSLError` is one).
        PKIError: The container's identity cannot be used.
    """
    service = mesh.owner_of(f"{name}.tls").name
    context = client_context(places.identity(service), expect=frozenset({mesh.spiffe(service)}))
    address = ("127.0.0.1", places.addresses[f"{name}.tls"].port)
    with socket.create_connection(address, timeout=ANSWER_S_MAX) as plain:
        if service == "postgres":
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise ssl.SSLError("the server does not offer TLS")
        with context.wrap_socket(plain, server_hostname=mesh.dns(service)):
            pass


def main(arguments: list[str]) -> int:
    """Run as a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m compose.images.healthy", description=__doc__)
    mesh = read_mesh(checkout_root() / "compose" / "mesh.toml")
    stores = [s for s in mesh.services.values() if s.kind in ("postgres", "redis", "nats")]
    parser.add_argument("name", choices=[node for store in stores for node in store.node_names])
    name = parser.parse_args(arguments).name
    try:
        require_healthy(mesh, places_in_containers(mesh), name)
    except (OSError, PKIError) as fault:
        print(f"{name} is not well: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
