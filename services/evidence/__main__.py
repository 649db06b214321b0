"""`python -m services.evidence --config FILE`."""

from __future__ import annotations

from services.evidence.app import main
from services.evidence.config import EvidenceConfig
from services.node.process import run

run(main, EvidenceConfig, "services.evidence")
