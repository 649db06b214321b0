"""Make everything that the containers mount: certificates, secrets, configuration, the database cluster.

Runs once as root in a container of its own, without a network; running it again keeps what is there, renews
leaves that are due and writes the configuration anew. Exit codes: 0 done, 1 a step failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compose.derive.configuration import configuration_files
from compose.derive.container_places import CLIENT_NETWORK, container_uids, places_in_containers
from compose.derive.policy_file import account_name
from compose.launcher.accounts import Account
from compose.launcher.credentials import provide_certificates, provide_secrets
from compose.launcher.databases import prepare_cluster
from compose.launcher.errors import StartError
from compose.launcher.layout import Layout, own_folder, prepare, write_readable
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, read_mesh


def prepare_containers(mesh: Mesh, data: Path, accounts: dict[str, Account], *, cluster: bool = True) -> None:
    """Fill the data folder.

    Args:
        data: What `DATA` of the Compose file points at.
        accounts: Account of each workload; it must exist where PostgreSQL's `initdb` runs.
        cluster: Whether the database cluster is made, too.

    Raises:
        StartError: A step failed; running it again is safe.
    """
    layout = Layout(data.resolve())
    prepare(layout)
    provide_certificates(mesh, layout, accounts)
    passwords = provide_secrets(mesh, layout, accounts)
    files = configuration_files(mesh, places_in_containers(mesh), passwords, CLIENT_NETWORK)
    for name, texts in files.items():
        own_folder(layout.run / name, accounts[name], writable=False)
        own_folder(layout.state / name, accounts[name], writable=True)
        for file, text in texts.items():
            write_readable(layout.run / name / file, text, accounts[name])
    if cluster:
        prepare_cluster(mesh, layout.state / "postgres", accounts["postgres"])


def main() -> int:
    """Run as a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m compose.images.prepare", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="the folder to fill")
    arguments = parser.parse_args()
    mesh = read_mesh(checkout_root() / "compose" / "mesh.toml")
    accounts = {
        name: Account(account_name(name), uid, uid, drop=True) for name, uid in container_uids(mesh).items()
    }
    try:
        prepare_containers(mesh, arguments.data, accounts)
    except StartError as fault:
        print(f"prepare: {fault}", file=sys.stderr)
        return 1
    print("certificates, secrets, configuration and database cluster are in place")
    return 0


if __name__ == "__main__":
    sys.exit(main())
