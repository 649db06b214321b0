"""Every alert rule names metrics that exist, says how grave it is, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pki.daemon.metrics import AuthorityMetrics
from pki.daemon.tally import Tally

RULES = Path(__file__).parents[3] / "pki/daemon/alerts.yml"
rules: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]


def exposed() -> dict[str, tuple[str, ...]]:
    """Name of each metric, as Prometheus has it, to the families' labels."""
    found = {}
    for family in AuthorityMetrics(Tally()).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = tuple(getattr(family, "_labelnames", ()))
    return found


@pytest.mark.parametrize("rule", rules, ids=lambda rule: str(rule["alert"]))
def test_an_alert_names_metrics_that_exist(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"countermark_pki_[a-z_]+", rule["expr"]))

    assert named
    assert set() == named - exposed().keys()


@pytest.mark.parametrize("rule", rules, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_grave_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    named = re.findall(r"countermark_pki_[a-z_]+", rule["expr"])
    labels = {label for name in named for label in exposed()[name]}
    text = f"{rule['annotations']['summary']} {rule['annotations']['action']}"

    assert {"alert", "expr", "for", "labels", "annotations"} == rule.keys()
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


def test_no_alert_stands_twice() -> None:
    names = [rule["alert"] for rule in rules]

    assert sorted(set(names)) == sorted(names)
