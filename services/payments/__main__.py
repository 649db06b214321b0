"""`python -m services.payments --config FILE`."""

from __future__ import annotations

from services.node.process import run
from services.payments.app import main
from services.payments.config import PaymentsConfig

run(main, PaymentsConfig, "services.payments")
