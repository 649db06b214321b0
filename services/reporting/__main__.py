"""`python -m services.reporting --config FILE`; exit codes are in `--help`."""

from __future__ import annotations

from services.node.process import run
from services.reporting.app import main
from services.reporting.config import ReportingConfig

if __name__ == "__main__":
    run(main, ReportingConfig, "services.reporting")
