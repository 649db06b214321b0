"""Rules, facts and packs for the tests of the fraud service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from services.fraud.inputs import Facts, Inputs, facts_of
from services.fraud.messages import Screening
from services.fraud.rules import RulePack

NOON = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
AMOUNT = {"kind": "amount", "name": "large", "action": "review", "over_minor": {"EUR": 1000}}
BURST = {
    "kind": "velocity", "name": "burst", "action": "reject", "subject": "instrument", "window_s": 600,
    "over_count": 3,
}  # fmt: skip
DAY = {
    "kind": "velocity", "name": "day", "action": "review", "subject": "merchant", "window_s": 86400,
    "over_minor": {"EUR": 5000},
}  # fmt: skip
STOLEN = {
    "kind": "list",
    "name": "stolen",
    "action": "reject",
    "subject": "instrument",
    "values": ["tok_bad"],
}
KNOWN = {"kind": "list", "name": "known", "action": "allow", "subject": "merchant", "values": ["mer_known"]}


def pack_of(*rules: dict[str, Any], version: int = 1) -> RulePack:
    document = {"format": 1, "name": "test", "version": version, "jurisdiction": "EU", "rule": list(rules)}
    return msgspec.convert(document, RulePack)


def pack_text(*rules: dict[str, Any], version: int = 1) -> bytes:
    """The pack as people write it; inline tables suffice for a test."""

    def value(part: Any) -> str:
        if isinstance(part, dict):
            return "{ " + ", ".join(f"{key} = {value(inner)}" for key, inner in part.items()) + " }"
        if isinstance(part, list):
            return "[" + ", ".join(value(inner) for inner in part) + "]"
        return f'"{part}"' if isinstance(part, str) else str(part)

    lines = ["format = 1", 'name = "test"', f"version = {version}", 'jurisdiction = "EU"']
    for rule in rules:
        lines += ["", "[[rule]]", *(f"{key} = {value(part)}" for key, part in rule.items())]
    return ("\n".join(lines) + "\n").encode()


def item_of(payment_id: str = "pay_eu_1", **changes: Any) -> Screening:
    fields: dict[str, Any] = {
        "payment_id": payment_id, "account_id": "acc_eu_1", "merchant_id": "mer_one", "kind": "collect",
        "amount_minor": 100, "currency": "EUR", "instrument": "tok_visa_ok", "accepted_at": NOON,
    } | changes  # fmt: skip
    return Screening(**fields)


def facts(payment_id: str = "pay_eu_1", **changes: Any) -> Facts:
    return facts_of(item_of(payment_id, **changes))


def inputs(velocity: dict[str, int] | None = None, **changes: Any) -> Inputs:
    return Inputs(facts=facts(**changes), velocity=velocity or {})
