"""`python -m services.banks --config FILE`."""

from __future__ import annotations

from services.banks.app import main
from services.banks.config import BanksConfig
from services.node.process import run

run(main, BanksConfig, "services.banks")
