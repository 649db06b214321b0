"""A cluster of real nats-servers for tests, each with the configuration that is derived for it.

Nothing here decides how a node is configured: mesh.toml says `nodes = 3`, and `compose.derive` does the rest.
"""

from __future__ import annotations

import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from compose.derive.places import Address, Places
from compose.derive.process_config import process_config
from compose.derive.stores import nats_conf
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, read_mesh
from services.node.config_file import NatsConfig
from tests.integration.nats_server import await_server, begin_server, free_ports

LOOPBACK = "127.0.0.1"


def clustered_mesh(nodes: int = 3) -> Mesh:
    """The declared mesh, but for the number of the bus's nodes."""
    mesh = read_mesh(checkout_root() / "compose" / "mesh.toml")
    return replace(mesh, services=mesh.services | {"nats": replace(mesh.services["nats"], nodes=nodes)})


@dataclass
class NatsCluster:
    """Nodes that can be stopped, killed and started again, each on the same ports."""

    mesh: Mesh
    places: Places
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.mesh.services["nats"].node_names

    def reach(self) -> NatsConfig:
        """The configuration with which the engine reaches this cluster."""
        text = process_config(self.mesh, self.mesh.services["payments"], self.places)
        return msgspec.convert(tomllib.loads(text)["nats"], NatsConfig)

    def port(self, node: str, listener: str) -> int:
        return self.places.addresses[f"{node}.{listener}"].port

    def store(self, node: str) -> Path:
        """The folder of one node's store."""
        bus = self.places.state / "nats"
        return bus / node if len(self.nodes) > 1 else bus

    def log(self, node: str) -> str:
        return (self.places.run / node / "log").read_text()

    def start(self, *nodes: str) -> None:
        """Start these nodes, or all of them, and wait until each takes connections."""
        for node in nodes or self.nodes:
            home = self.places.run / node
            home.mkdir(exist_ok=True)
            (home / "nats.conf").write_text(nats_conf(self.mesh, self.places, node))
            self._processes[node] = begin_server(home)
        for node in nodes or self.nodes:
            await_server(self._processes[node], self.places.run / node)

    def pids(self) -> dict[str, int]:
        """Process ids of the nodes that run."""
        return {node: process.pid for node, process in self._processes.items()}

    def stop(self, *nodes: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop (or, with SIGKILL, kill) these nodes, or all of them, and wait for their end."""
        stopped = [self._processes.pop(node) for node in nodes or self.nodes if node in self._processes]
        for process in stopped:
            process.send_signal(number)
        for process in stopped:
            process.wait()


def cluster_places(mesh: Mesh, home: Path, certs: Path) -> Places:
    """Free ports for the bus; nobody else is started or dialled, so the others have none."""
    bus = mesh.services["nats"].own_listeners
    ports = dict.fromkeys(mesh.listener_names(), 1) | dict(zip(bus, free_ports(len(bus)), strict=True))
    return Places(
        addresses={name: Address(LOOPBACK, LOOPBACK, port) for name, port in ports.items()},
        certs=certs, run=home / "run", state=home / "state", secrets=home / "secrets",
        origins=("https://edge.countermark.internal",), connection_age_s_max=10.0,
    )  # fmt: skip


@contextmanager
def running_cluster(home: Path, certs: Path, nodes: int = 3) -> Iterator[NatsCluster]:
    """Run the cluster in `home`; stop it at the end.

    Args:
        home: An empty folder.
        certs: The tree in which `live/nats/current` is the nodes' identity.
    """
    mesh = clustered_mesh(nodes)
    cluster = NatsCluster(mesh, cluster_places(mesh, home, certs))
    cluster.places.run.mkdir(parents=True)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop(number=signal.SIGKILL)
