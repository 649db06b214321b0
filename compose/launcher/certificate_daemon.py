"""The daemon that renews certificates and revocation lists: the one process that is not of the mesh itself.

It runs as the launcher's own account, because it gives keys to the accounts of others and signals servers
that are not its own. The passphrase of the intermediate reaches it as an open descriptor.
"""

from __future__ import annotations

import os
from pathlib import Path

from compose.launcher.accounts import SECRET_DESCRIPTOR, Account
from compose.launcher.layout import Layout
from compose.launcher.process_spec import ProcessSpec, python_environment
from compose.launcher.release import Release
from compose.launcher.root_custody import passphrase_file

NAME = "certificate-daemon"
METRICS_FILE = "certificates.prom"
EVENTS_FILE = "certificate-events.jsonl"


def certificate_daemon(layout: Layout, release: Release, policy: Path, after: tuple[str, ...]) -> ProcessSpec:
    """Describe the process.

    Args:
        policy: The reviewed policy.
        after: What must be ready before: consumers that are still starting would only be reported.
    """
    metrics = layout.run / METRICS_FILE
    metrics.unlink(missing_ok=True)  # Figures of an earlier run would be taken for news.
    argv = [
        str(release.python), "-m", "pki", "daemon",
        "--certs", str(layout.certs), "--deployment", str(layout.deployment_file), "--policy", str(policy),
        "--passphrase-fd", str(SECRET_DESCRIPTOR),
        "--metrics-file", str(metrics), "--events-file", str(layout.log / EVENTS_FILE),
    ]  # fmt: skip
    account = Account(str(os.geteuid()), os.geteuid(), os.getegid(), drop=False)

    async def has_passed() -> bool:
        return metrics.exists()

    return ProcessSpec(
        NAME,
        account,
        argv,
        has_passed,
        after,
        environment=python_environment(release),
        secret_file=passphrase_file(layout),
    )
