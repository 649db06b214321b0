"""The rules as compliance writes them: TOML to typed rules, or a refusal that says where (pure).

A rule is about an amount, a velocity or a list. It cannot say `pass`: what no rule matches passes, and what a
rule cannot be evaluated for goes to a person.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from services.fraud.errors import RulesMalformed
from services.fraud.messages import AMOUNT_MINOR_MAX, Currency, Identifier, PaymentKind

RULES_BYTES_MAX = 1024 * 1024  # Lists of 10,000 tokens fit; anything larger is not written by people.
# All names of all rules for 128 payments stay below what the caller accepts as an answer.
RULES_MAX = 100
LIST_VALUES_MAX = 20_000
MINUTE_S, HOUR_S = 60, 3600
# The oldest hour that is counted; a limit per week is the longest that people ask for.
WINDOW_S_MAX = 7 * 24 * HOUR_S

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")]
Subject: TypeAlias = Literal["instrument", "merchant"]
# `allow` is for lists alone, for who is known, and is looked at first.
Action: TypeAlias = Literal["allow", "reject", "review"]
ACTIONS: tuple[Action, ...] = ("allow", "reject", "review")
Limits: TypeAlias = Annotated[
    dict[Currency, Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX * 1_000_000)]],
    msgspec.Meta(min_length=1, max_length=200),
]


class AmountRule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="amount"
):
    """Matches a payment of more than `over_minor` of its currency; one without a limit is for a person.

    Attributes:
        payment: Only payments of this kind; None for both.
    """

    name: Name
    action: Literal["reject", "review"]
    payment: PaymentKind | None = None
    over_minor: Limits


class VelocityRule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="velocity"
):
    """Matches when one instrument or merchant has more than a number, or a sum, within a window.

    Attributes:
        payment: Only payments of this kind are judged and counted; None for both.
        window_s: Whole minutes up to an hour, whole hours above; counted in buckets of a minute or an hour,
            so that up to one bucket more is seen, never less.
        over_count, over_minor: Exactly one of them; this payment is counted, too.
        exempt: Instruments, or merchants, that many people stand behind; they are not judged by this rule.
    """

    name: Name
    action: Literal["reject", "review"]
    payment: PaymentKind | None = None
    subject: Subject
    window_s: Annotated[int, msgspec.Meta(ge=MINUTE_S, le=WINDOW_S_MAX)]
    over_count: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    over_minor: Limits | None = None
    exempt: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=LIST_VALUES_MAX)] = ()


class ListRule(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="list"
):
    """Matches an instrument or a merchant that is in the list."""

    name: Name
    action: Action
    payment: PaymentKind | None = None
    subject: Subject
    values: Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=LIST_VALUES_MAX)]


Rule: TypeAlias = AmountRule | VelocityRule | ListRule


class RulePack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of one jurisdiction, under one version.

    Attributes:
        version: Rises with every change; a lower one than the last is not taken any more.
        jurisdiction: Whose law and habits they are for, such as `EU`.
    """

    format: Literal[1]
    name: Name
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    jurisdiction: Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{2,8}\Z")]
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1, max_length=RULES_MAX)] = msgspec.field(
        name="rule"
    )


def parse_rules(body: bytes) -> RulePack:
    """Read a rule pack.

    Raises:
        RulesMalformed: Not TOML, or not of this form; nothing is guessed.
    """
    if len(body) > RULES_BYTES_MAX:
        raise RulesMalformed(f"the rules are larger than {RULES_BYTES_MAX} bytes")
    try:
        pack = msgspec.toml.decode(body, type=RulePack, strict=True)
    except RecursionError as fault:
        raise RulesMalformed("the rules are nested too deeply to be rules") from fault
    except (msgspec.DecodeError, ValueError) as fault:
        raise RulesMalformed(f"the rules cannot be read: {str(fault)[:300]}") from fault
    faults = _faults(pack)
    if faults:
        raise RulesMalformed("; ".join(faults))
    return pack


def _faults(pack: RulePack) -> list[str]:
    names = [rule.name for rule in pack.rules]
    faults = [f"two rules are named {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    for rule in pack.rules:
        if not isinstance(rule, VelocityRule):
            continue
        if (rule.over_count is None) == (rule.over_minor is None):
            faults.append(f"rule {rule.name}: give over_count or over_minor, one of them")
        unit = MINUTE_S if rule.window_s <= HOUR_S else HOUR_S
        if rule.window_s % unit:
            faults.append(f"rule {rule.name}: window_s is in whole minutes, above an hour in whole hours")
    return faults
