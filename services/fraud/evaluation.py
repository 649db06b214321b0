"""From inputs to a verdict, always the same one (pure).

The order is fixed by action: who is on an allow list passes; then reject beats review beats pass. A rule that
cannot be evaluated is for a person; nothing passes because something is not known.
"""

from __future__ import annotations

import msgspec

from services.fraud.inputs import Facts, Inputs, Question, key_of, subject_key
from services.fraud.messages import VerdictName
from services.fraud.rules import ACTIONS, Action, AmountRule, ListRule, Rule, RulePack, VelocityRule

CANNOT_EVALUATE = "cannot-evaluate:"


class Evaluation(msgspec.Struct, frozen=True):
    """The verdict, and the names of the rules that matched, in order of action, then of the file."""

    verdict: VerdictName
    reasons: tuple[str, ...]


class PreparedRules:
    """A rule pack with its lists as sets of keys; made once, used for each payment."""

    def __init__(self, pack: RulePack) -> None:
        self.pack = pack
        self._by_action: dict[Action, list[Rule]] = {
            action: [rule for rule in pack.rules if rule.action == action] for action in ACTIONS
        }
        self._listed = {
            rule.name: frozenset(subject_key(rule.subject, value) for value in _values(rule))
            for rule in pack.rules
            if not isinstance(rule, AmountRule)
        }

    def questions(self, facts: Facts) -> list[Question]:
        """The numbers that these rules need for one payment, each once."""
        found = {
            question: None
            for rule in self.pack.rules
            if isinstance(rule, VelocityRule) and self._is_about(rule, facts)
            for question in _question(rule, facts)
        }
        return list(found)

    def evaluate(self, inputs: Inputs) -> Evaluation:
        """Decide."""
        facts = inputs.facts
        matched: dict[Action, list[str]] = {}
        unknown = False
        for action in ACTIONS:
            names = matched[action] = []
            for rule in self._by_action[action]:
                if not self._is_about(rule, facts):
                    continue
                match rule:
                    case ListRule():
                        holds: bool | None = key_of(facts, rule.subject) in self._listed[rule.name]
                    case AmountRule():
                        holds = _exceeds(facts.amount_minor, rule.over_minor.get(facts.currency))
                    case VelocityRule():
                        holds = _velocity_exceeds(rule, inputs)
                if holds is None:
                    unknown = True
                    names.append(CANNOT_EVALUATE + rule.name)
                elif holds:
                    names.append(rule.name)
            if action == "allow" and names:
                return Evaluation("pass", tuple(names))
        reasons = (*matched["reject"], *matched["review"])
        if any(not name.startswith(CANNOT_EVALUATE) for name in matched["reject"]):
            return Evaluation("reject", reasons)
        return Evaluation("review" if matched["review"] or unknown else "pass", reasons)

    def _is_about(self, rule: Rule, facts: Facts) -> bool:
        if rule.payment is not None and rule.payment != facts.kind:
            return False
        return not isinstance(rule, VelocityRule) or (
            key_of(facts, rule.subject) not in self._listed[rule.name]
        )


def _values(rule: VelocityRule | ListRule) -> tuple[str, ...]:
    return rule.values if isinstance(rule, ListRule) else rule.exempt


def _question(rule: VelocityRule, facts: Facts) -> list[Question]:
    if rule.over_count is not None:
        return [Question(rule.subject, rule.payment, None, rule.window_s)]
    if rule.over_minor is not None and facts.currency in rule.over_minor:
        return [Question(rule.subject, rule.payment, facts.currency, rule.window_s)]
    return []


def _velocity_exceeds(rule: VelocityRule, inputs: Inputs) -> bool | None:
    limit = rule.over_count if rule.over_minor is None else rule.over_minor.get(inputs.facts.currency)
    for question in _question(rule, inputs.facts):
        return _exceeds(inputs.velocity.get(question.name), limit)
    return None


def _exceeds(value: int | None, limit: int | None) -> bool | None:
    return None if value is None or limit is None else value > limit
