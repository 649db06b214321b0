"""`python -m services.witness --config FILE`."""

from __future__ import annotations

from services.node.process import run
from services.witness.app import WitnessConfig, main

run(main, WitnessConfig, "services.witness")
