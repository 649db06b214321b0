"""Rotates a running mesh in a process of its own: a kind a line in, a JSON object a line out."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from compose.launcher.layout import Layout
from compose.launcher.root_custody import RootKeeper, provide_passphrase
from pki.certificate_files import CertificateTree
from pki.consumers.deployment import read_deployment
from pki.consumers.running_fleet import RunningFleet
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.remembering import RememberingKeeper
from pki.errors import PKIError
from pki.inventory import present_owners
from pki.process_priority import give_way
from pki.recorded_signing import attribution
from pki.rotation.engine import RotationSetting, Rotator


def main(data: Path) -> None:
    """Carry out what standard input asks for, until it ends."""
    give_way()  # as the commands and the daemon do
    layout = Layout(data)
    tree = CertificateTree(layout.certs)
    passphrase = provide_passphrase(layout, initialised=True)
    root = RootKeeper(layout.secrets, passphrase)
    setting = RotationSetting(
        certs=layout.certs,
        issuing=RememberingKeeper(PassphraseKeeper(passphrase)),
        fleet=RunningFleet(read_deployment(layout.run / "deployment.json"), layout.certs),
        owners=lambda names: present_owners(tree, names),
        clock=lambda: datetime.now(UTC),
        by=attribution("tests.bench rotation", "none"),
    )
    print(json.dumps({"workloads": tree.live_names()}), flush=True)
    for line in sys.stdin:
        kind, *names = line.split()
        began = time.monotonic()
        fault = ""
        try:
            rotator = Rotator(setting)
            if kind == "leaf":
                rotator.rotate_leaves(names)
            elif kind == "intermediate":
                rotator.rotate_intermediate(root)
            else:
                rotator.rotate_root(root)
        except PKIError as refusal:
            fault = f"{refusal.code}: {refusal}"
        print(json.dumps({"seconds": time.monotonic() - began, "fault": fault}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
