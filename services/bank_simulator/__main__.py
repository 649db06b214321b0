"""`python -m services.bank_simulator --config FILE`."""

from __future__ import annotations

from services.bank_simulator.app import main
from services.bank_simulator.config import BankSimulatorConfig
from services.node.process import run

run(main, BankSimulatorConfig, "services.bank_simulator")
