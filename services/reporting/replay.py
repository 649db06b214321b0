"""`python -m services.reporting.replay --config FILE --since TIME`: count again what the store has lost."""

from __future__ import annotations

from services.node.replay import run_replay
from services.reporting.app import reading
from services.reporting.config import ReportingConfig

if __name__ == "__main__":
    run_replay(ReportingConfig, reading, lambda config: config.nats, "services.reporting.replay")
