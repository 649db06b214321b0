"""What a process loads before it begins: each tenth of a second is one in which it does not work yet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from compose.launcher.release import checkout_root

SERVICES = ("payments", "banks", "notifications", "evidence", "fraud", "vault", "witness", "bank_simulator")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_nothing_that_sends_spans(service: str) -> None:
    tell = "print(*(name for name in sys.modules if name.startswith('opentelemetry')))"
    code = f"import sys, services.{service}.app; {tell}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout_root(), capture_output=True, text=True, check=True
    )

    assert "" == done.stdout.strip()
