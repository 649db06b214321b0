"""One derived deployment on disk: real certificates, secrets and configuration, no process started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from compose.derive.configuration import configuration_files
from compose.derive.places import Places
from compose.launcher.accounts import Account
from compose.launcher.configuration import places_on_this_machine, write_configuration
from compose.launcher.credentials import provide_certificates, provide_secrets
from compose.launcher.layout import Layout, own_folder
from compose.launcher.ports import LOOPBACK
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, Service, read_mesh

MESH_FILE = checkout_root() / "compose" / "mesh.toml"
PORT_FIRST = 20001  # Never bound: only written into files.
WEBHOOK_RECEIVER = "127.0.0.1:20000"


@dataclass(frozen=True)
class Deployment:
    """What a start would have written, below one folder."""

    mesh: Mesh
    layout: Layout
    places: Places
    files: dict[str, dict[str, str]]

    def envoys(self) -> dict[str, Service]:
        """Workload name of each Envoy, and the service that it stands for."""
        return {
            (service.sidecar_name if service.sidecar else service.name): service
            for service in self.mesh.services.values()
            if service.sidecar or service.kind == "edge"
        }


def this_account(mesh: Mesh) -> dict[str, Account]:
    """Every workload as whoever runs the tests."""
    return {name: Account("tests", os.geteuid(), os.getegid(), drop=False) for name in mesh.workloads()}


def write_deployment(root: Path) -> Deployment:
    mesh = read_mesh(MESH_FILE)
    layout = Layout(root)
    accounts = this_account(mesh)
    for folder in (layout.run, layout.state, layout.secrets):
        folder.mkdir()
    provide_certificates(mesh, layout, accounts)
    passwords = provide_secrets(mesh, layout, accounts)
    trust = layout.run / "notifications" / "webhook-trust.pem"
    ports = {name: PORT_FIRST + index for index, name in enumerate(mesh.listener_names())}
    places = places_on_this_machine(mesh, layout, ports, (WEBHOOK_RECEIVER, str(trust)))
    own_folder(trust.parent, accounts["notifications"], writable=False)
    trust.write_bytes((places.identity("notifications") / "trust.pem").read_bytes())
    write_configuration(mesh, layout, places, accounts, passwords)
    return Deployment(mesh, layout, places, configuration_files(mesh, places, passwords, f"{LOOPBACK}/32"))
