"""Write everything that is derived from mesh.toml into `run/`, each file readable by its process alone."""

from __future__ import annotations

import json

from compose.derive.configuration import configuration_files
from compose.derive.deployment import deployment_text
from compose.derive.places import Address, Limits, Places
from compose.launcher.accounts import Account
from compose.launcher.layout import Layout, own_folder, write_public, write_readable
from compose.launcher.ports import LOOPBACK
from compose.mesh import Mesh

CONNECTION_AGE_S_MAX = 10.0  # Short on purpose: what a rotation takes, a demonstration can wait for.


def places_on_this_machine(
    mesh: Mesh,
    layout: Layout,
    ports: dict[str, int],
    webhook: tuple[str, str],
    *,
    connection_age_s_max: float = CONNECTION_AGE_S_MAX,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Places:
    """Everything on loopback, below one data directory.

    Args:
        ports: Port of every listener of the mesh.
        webhook: `host:port` of the demonstration's webhook receiver, and the file of its authority.
        connection_age_s_max: See `Places`.
        limits: See `Places`.
    """
    public = mesh.dns("edge")
    return Places(
        addresses={name: Address(LOOPBACK, LOOPBACK, ports[name]) for name in mesh.listener_names()},
        certs=layout.certs,
        run=layout.run,
        state=layout.state,
        secrets=layout.secrets,
        origins=(f"https://{public}:{ports['edge.public']}",),
        connection_age_s_max=connection_age_s_max,
        webhook_allowed=(webhook[0],),
        webhook_trust_file=webhook[1],
        limits=limits,
    )


def write_configuration(
    mesh: Mesh, layout: Layout, places: Places, accounts: dict[str, Account], passwords: dict[str, bytes]
) -> None:
    """Write all of it; a process reads its own part when it starts."""
    for name, files in configuration_files(mesh, places, passwords, f"{LOOPBACK}/32").items():
        own_folder(layout.run / name, accounts[name], writable=False)
        own_folder(layout.state / name, accounts[name], writable=True)
        for file, text in files.items():
            write_readable(layout.run / name / file, text, accounts[name])
    document = {
        "origins": list(places.origins),
        "listeners": {name: {"host": a.host, "port": a.port} for name, a in places.addresses.items()},
    }
    write_public(layout.addresses_file, json.dumps(document, indent=1))
    write_public(layout.deployment_file, deployment_text(mesh, places))
