"""`python -m services.fraud --config FILE` is the service; `rules …` and `replay …` are people's commands."""

from __future__ import annotations

import sys

from services.fraud.app import main
from services.fraud.commands import fraud
from services.fraud.config import FraudConfig
from services.node.process import run

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in fraud.commands:
        fraud(prog_name="python -m services.fraud")
    run(main, FraudConfig, "services.fraud")
