"""`python -m services.banks --config FILE`."""

from __future__ import annotations

from services.banks.app import main
from services.banks.config import BanksConfig
from services.node.core_dumps import forbid_core_dumps
from services.node.process import run

forbid_core_dumps()
run(main, BanksConfig, "services.banks")
