"""Decide again what was decided, from what the journal kept (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.fraud.errors import RulesMalformed
from services.fraud.evaluation import Evaluation, PreparedRules
from services.fraud.inputs import canonical, parse_inputs
from services.fraud.rule_file import open_rules
from signing import VerifyingKey


@dataclass(frozen=True, slots=True)
class Journalled:
    """A decision as it was kept, with the rules that it was made by."""

    verdict: str
    inputs_digest: bytes
    inputs: bytes
    reasons: list[str]
    decided_at: datetime
    pack_digest: bytes
    pack_document: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """What the kept inputs and rules lead to.

    Attributes:
        holds: Verdict and reasons are those that were stored, and both digests are those of what was kept.
    """

    label: str
    evaluation: Evaluation
    velocity: dict[str, int]
    holds: bool


def replay(found: Journalled, trusted: Sequence[VerifyingKey]) -> Replay:
    """Verify the kept rules, and evaluate.

    Raises:
        RulesUnsigned: The kept rules were not signed by a pinned key.
        RulesMalformed: The kept rules or inputs cannot be read.
    """
    signed = open_rules(found.pack_document, trusted)
    try:
        inputs = parse_inputs(found.inputs)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RulesMalformed("the inputs in the journal cannot be read") from fault
    evaluation = PreparedRules(signed.pack).evaluate(inputs)
    holds = (
        signed.digest == found.pack_digest
        and hashlib.sha256(found.inputs).digest() == found.inputs_digest
        and canonical(inputs) == found.inputs
        and (evaluation.verdict, list(evaluation.reasons)) == (found.verdict, found.reasons)
    )
    return Replay(signed.label, evaluation, inputs.velocity, holds)
