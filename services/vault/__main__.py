"""`python -m services.vault --config FILE` is the service; `keys …`, `rewrap` and others are commands."""

from __future__ import annotations

import sys

from services.node.core_dumps import forbid_core_dumps
from services.node.process import run
from services.vault.app import main
from services.vault.commands import vault
from services.vault.config import VaultConfig

if __name__ == "__main__":
    forbid_core_dumps()
    if sys.argv[1:2] and sys.argv[1] in vault.commands:
        vault(prog_name="python -m services.vault")
    run(main, VaultConfig, "services.vault")
