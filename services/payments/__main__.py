"""`python -m services.payments --config FILE` is the engine; with the name of a command, that command."""

from __future__ import annotations

import sys

# Whoever gives no configuration is a person who looks for what there is.
if sys.argv[1:2] not in (["--config"], ["--check"]):
    from services.payments.command import payments

    payments(prog_name="python -m services.payments")

from services.node.process import run
from services.payments.app import main
from services.payments.config import PaymentsConfig

run(main, PaymentsConfig, "services.payments")
