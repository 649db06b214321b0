"""Targets for what services and banks say, and for the files that rules and settlements are.

As in `targets`: any bytes lead to a value or to the parser's own refusal; what a value must then be fit for
is done with it. A parser that a service has inside is taken from there, since that is the one that runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from services.banks.callbacks import hear
from services.banks.card_messages import CARD_EXPONENTS
from services.banks.card_rail import CardRail
from services.banks.exponents import AmountRefused, decimal_of, minor_of
from services.banks.json_rail import JsonRail
from services.banks.messages import Attempt, AttemptAnswer, Inquiry, SettlementAsk, SettlementPage
from services.banks.rail import AnswerRefused, Rail, believed, believed_of_inquiry, believed_page
from services.fraud.errors import KeysRefused, RulesMalformed, RulesUnsigned
from services.fraud.evaluation import PreparedRules
from services.fraud.inputs import Inputs, canonical, facts_of, parse_inputs
from services.fraud.messages import Screening, Screenings, Verdicts
from services.fraud.rule_file import open_rules, parse_pinned_keys, sign_rules
from services.fraud.rules import RulePack, parse_rules
from services.fraud.velocity import Tally, ask_of, is_timely
from services.payments.machine.events import BankTold, Mail
from services.payments.machine.model import uetr_of
from services.payments.machine.settlement import Booked, FileLine, judge
from services.payments.reconciler import _line
from tests.unit.signing import signing_samples as samples

NOW: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
SCREENING: Final = Screening(
    payment_id="pay_eu_1", account_id="acc_1", merchant_id="mer_eu_1", kind="collect", amount_minor=1_000_001,
    currency="EUR", instrument="tok_visa_ok", accepted_at=NOW - timedelta(seconds=1),
)  # fmt: skip
RULES: Final = b"""format = 1
name = "fuzz"
version = 3
jurisdiction = "EU"

[[rule]]
kind = "list"
name = "stolen"
action = "reject"
subject = "instrument"
values = ["tok_test_stolen"]

[[rule]]
kind = "amount"
name = "large"
action = "review"
payment = "collect"
over_minor = { EUR = 1_000_000 }

[[rule]]
kind = "velocity"
name = "burst"
action = "reject"
subject = "merchant"
window_s = 600
over_count = 100
exempt = ["mer_eu_2"]
"""
ATTEMPT: Final = Attempt(
    "att_eu_1_1", "bank-alpha", "collect", 1999, "EUR", "tok_visa_ok", "pay_eu_1", uetr_of("att_eu_1_1")
)
ASK: Final = SettlementAsk("bank-alpha", 7, 100)
BOOKED: Final = Booked(
    attempt_id="att_eu_1_1", payment_id="pay_eu_1", bank="bank-alpha", operation="collect", state="unknown",
    decline_code=None, amount_minor=1999, currency="EUR",
)  # fmt: skip
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_screenings = msgspec.json.Decoder(Screenings, strict=True)
_verdicts = msgspec.json.Decoder(Verdicts, strict=True)
_answers = msgspec.json.Decoder(AttemptAnswer, strict=True)
_pages = msgspec.json.Decoder(SettlementPage, strict=True)
_mail = msgspec.json.Decoder(Mail)
_PREPARED: Final = PreparedRules(parse_rules(RULES))
_SIGNED_RULES: Final = sign_rules(RULES, samples.GATEWAY)


def screening(octets: bytes) -> bool:
    """A question to the fraud service: what is read can be decided about, and again from its inputs."""
    with contextlib.suppress(*_MALFORMED):
        for item in _screenings.decode(octets).items:
            _decide(_PREPARED, item)
        return True
    return False


def _decide(rules: PreparedRules, item: Screening) -> None:
    """As the service does it, with counters that are empty."""
    facts = facts_of(item)
    timely = is_timely(facts.accepted_at, NOW)
    questions = rules.questions(facts) if timely else []
    tally = Tally([ask_of(facts, question) for question in questions], [])
    if timely:
        tally.add(facts)
        assert all(grown.count == 1 for grown in tally.increments())
    inputs = Inputs(facts=facts, velocity=tally.answers(facts, questions))
    again = parse_inputs(canonical(inputs))
    assert canonical(again) == canonical(inputs)
    assert rules.evaluate(again) == rules.evaluate(inputs)


def verdicts(octets: bytes) -> bool:
    """Its answer: what is read is written and read again."""
    with contextlib.suppress(*_MALFORMED):
        read = _verdicts.decode(octets)
        assert read == _verdicts.decode(msgspec.json.encode(read))
        return True
    return False


def rules(octets: bytes) -> bool:
    """`parse_rules`: what is read can be decided by, and says nothing but what a rule may say."""
    with contextlib.suppress(RulesMalformed):
        pack = parse_rules(octets)
        assert len({rule.name for rule in pack.rules}) == len(pack.rules)
        prepared = PreparedRules(pack)
        _decide(prepared, SCREENING)
        return True
    return False


def signed_rules(octets: bytes) -> bool:
    """`open_rules` with one pinned key: nothing is accepted but what that key has signed."""
    with contextlib.suppress(RulesMalformed, RulesUnsigned):
        opened = open_rules(octets, [samples.GATEWAY.verifying_key])
        assert octets == _SIGNED_RULES
        assert isinstance(opened.pack, RulePack)
        return True
    with contextlib.suppress(RulesMalformed, KeysRefused):
        # What compliance would sign, the service reads; a signature that is there already is replaced.
        signed = sign_rules(octets, samples.GATEWAY)
        assert open_rules(signed, [samples.GATEWAY.verifying_key]).document == signed
    return False


def pinned_keys(octets: bytes) -> bool:
    """`parse_pinned_keys`: nothing but keys that can verify rules."""
    with contextlib.suppress(KeysRefused):
        assert {"ed25519"} == {key.alg for key in parse_pinned_keys(octets)}
        return True
    return False


def callback(octets: bytes) -> bool:
    """`hear`: kept under a name that the record takes, and as mail that the engine reads."""
    heard = hear("bank-alpha", octets)
    assert 1 <= len(heard.event_id) <= 160
    assert heard.event_id.isascii()
    if heard.mail is None:
        return False
    mail = _mail.decode(heard.mail)
    assert isinstance(mail, BankTold)
    assert (mail.bank, mail.bank_event_id) == ("bank-alpha", heard.event_id)
    assert "\\u0000" not in heard.mail  # PostgreSQL takes no such text.
    return True


def _bank_answer(rail: Rail, octets: bytes) -> bool:
    """`read` and the two ways to believe it: what goes on to the engine is what the engine reads."""
    with contextlib.suppress(AnswerRefused):
        answer = rail.read(octets)
        assert answer == _answers.decode(msgspec.json.encode(answer))
        with contextlib.suppress(AnswerRefused):
            found = believed(answer, ATTEMPT)
            if found.outcome in ("confirmed", "declined"):
                assert (1999, "EUR", "pay_eu_1") == (found.amount_minor, found.currency, found.end_to_end_id)
        with contextlib.suppress(AnswerRefused):
            assert believed_of_inquiry(answer, Inquiry("bank-alpha", ATTEMPT.attempt_id)) is answer
        return True
    return False


def json_answer(octets: bytes) -> bool:
    """A bank that speaks our own words."""
    return _bank_answer(JsonRail(), octets)


def card_answer(octets: bytes) -> bool:
    """The card network, with its own words and decimals."""
    return _bank_answer(CardRail(), octets)


def _settlement_file(rail: Rail, octets: bytes) -> bool:
    """`read_settlement`: what is read crosses the hop, and each line can be held against what is booked."""
    with contextlib.suppress(AnswerRefused):
        page = rail.read_settlement(octets)
        assert page == _pages.decode(msgspec.json.encode(page))
        for line in page.lines:
            read: FileLine = _line("bank-alpha", line)
            assert judge(read, None).kind == "unknown_attempt"
            told = judge(read, BOOKED).tell
            assert told is None or (told.amount_minor, told.currency) == (1999, "EUR")
        with contextlib.suppress(AnswerRefused):
            assert all(line.line > ASK.after_line for line in believed_page(page, ASK).lines)
        return True
    return False


def json_settlement(octets: bytes) -> bool:
    """The settlement file of a bank that speaks our own words."""
    return _settlement_file(JsonRail(), octets)


def card_settlement(octets: bytes) -> bool:
    """The clearing file of the card network."""
    return _settlement_file(CardRail(), octets)


def card_decimal(octets: bytes) -> bool:
    """`minor_of`, currency first: exact, and written again as it was read."""
    currency, _, decimal = octets.decode("latin-1").partition(" ")
    with contextlib.suppress(AmountRefused):
        assert decimal == decimal_of(minor_of(decimal, currency, CARD_EXPONENTS), currency, CARD_EXPONENTS)
        return True
    return False


SERVICE_TARGETS: Final[dict[str, Callable[[bytes], bool]]] = {
    "screening": screening,
    "verdicts": verdicts,
    "rules": rules,
    "signed_rules": signed_rules,
    "pinned_keys": pinned_keys,
    "callback": callback,
    "json_answer": json_answer,
    "card_answer": card_answer,
    "json_settlement": json_settlement,
    "card_settlement": card_settlement,
    "card_decimal": card_decimal,
}
