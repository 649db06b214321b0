"""Limits for what drives harder than any merchant: benchmarks, storms, tests with hundreds of refusals."""

from __future__ import annotations

from typing import Final

from compose.derive.places import Limits
from gateway.config import LimitsConfig

# The most that a rate can be: a bucket that steps one microsecond for each request is never found full.
_PER_S: Final = 1_000_000
RAISED_GATEWAY: Final = LimitsConfig(
    merchant_per_s=_PER_S, merchant_burst=_PER_S, source_per_s=_PER_S, source_burst=_PER_S
)
RAISED: Final = Limits(gateway=RAISED_GATEWAY, edge_source_per_s=_PER_S, edge_source_burst=_PER_S)
