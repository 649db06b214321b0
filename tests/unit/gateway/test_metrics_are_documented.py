"""Every figure of every process stands in ARCHITECTURE.md, with its labels and in its own words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.metrics import MetricWrapperBase

from gateway.metrics import ANSWER_BUCKETS_S, Metrics

PAGE = (Path(__file__).resolve().parents[3] / "ARCHITECTURE.md").read_text(encoding="utf-8")
COUNTERS = [
    "services.banks.counters", "services.evidence.counters", "services.fraud.counters",
    "services.payments.counters", "services.vault.counters",
]  # fmt: skip


NAME = re.compile(r"[a-z]+(_[a-z]+)+", re.ASCII)


def rows() -> Iterator[str]:
    owners: list[object] = [Metrics(), *(importlib.import_module(name) for name in COUNTERS)]
    for owner in owners:
        for found in vars(owner).values():
            if isinstance(found, MetricWrapperBase):
                name = found._name + ("_total" if isinstance(found, prometheus_client.Counter) else "")
                labels = ", ".join(f"`{label}`" for label in found._labelnames) or "-"
                yield f"| `{name}` | {labels} | {found._documentation} |"


@pytest.mark.parametrize("row", sorted(set(rows())))
def test_a_figure_is_in_the_table(row: str) -> None:
    assert row in PAGE


@pytest.mark.parametrize("row", sorted(set(rows())))
def test_a_name_tells_who_counts_and_in_which_unit(row: str) -> None:
    name = row.split("`")[1]

    assert NAME.fullmatch(name) is not None
    assert name.partition("_")[0] in {"gateway", *(module.split(".")[1] for module in COUNTERS)}
    assert not name.endswith(("_count", "_sum", "_bucket", "_ms", "_milliseconds"))


def test_the_buckets_are_told() -> None:
    assert ", ".join(f"{bound:g}" for bound in ANSWER_BUCKETS_S) in PAGE
