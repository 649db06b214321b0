"""Real messages and files of the services, as seeds: see `make_corpus`."""

from __future__ import annotations

import msgspec

from services.banks.callback_messages import Callback
from services.banks.card_messages import CardAnswer, ClearingFile, ClearingRecord
from services.banks.messages import AttemptAnswer, SettlementLine, SettlementPage
from services.fraud.messages import Screenings, Verdict, Verdicts
from services.fraud.rule_file import sign_rules
from tests.fuzz.service_targets import RULES, SCREENING
from tests.unit.signing import signing_samples as samples


def service_seeds() -> dict[str, dict[str, bytes]]:
    """File contents by target and name."""
    write = msgspec.json.encode
    verdict = Verdict(
        payment_id="pay_eu_1", verdict="review", rule_pack="fuzz@3:" + "0" * 64, inputs_digest="0" * 64,
        reasons=("large", "cannot-evaluate:burst"),
    )  # fmt: skip
    signed = sign_rules(RULES, samples.GATEWAY)
    payout = msgspec.structs.replace(SCREENING, payment_id="pay_eu_2", kind="payout", currency="JPY")
    return {
        "screening": {
            "one": write(Screenings([SCREENING])),
            "two": write(Screenings([SCREENING, payout])),
            "refused-none": b'{"items":[]}',
        },
        "verdicts": {"one": write(Verdicts([verdict])), "none": write(Verdicts([]))},
        "rules": {"three": RULES, "refused-signed-twice": RULES + RULES},
        "signed_rules": {"signed": signed, "refused-unsigned": RULES, "refused-cut": signed[:-9] + b"\n"},
        "pinned_keys": {
            "one": samples.GATEWAY.verifying_key.to_spki_pem(),
            "refused-p256": samples.GATEWAY_P256.verifying_key.to_spki_pem(),
        },
        "callback": _callbacks(),
        "card_decimal": {
            "eur": b"EUR 19.99",
            "clp": b"CLP 1999.00",
            "jpy": b"JPY 7",
            "refused-1": b"EUR 1.9",
        },
        **_answers(),
        **_settlements(),
    }


def _callbacks() -> dict[str, bytes]:
    confirmed = Callback(
        event_id="evt-1", what="confirmed", attempt_id="att_eu_1_1", end_to_end_id="pay_eu_1",
        amount_minor=1999, currency="EUR", bank_reference="REF-1", at="2026-11-01T12:00:00Z",
    )  # fmt: skip
    replace = msgspec.structs.replace
    declined = replace(confirmed, what="declined", bank_reference=None, decline_code="limit_exceeded")
    disputed = replace(confirmed, what="dispute_opened", dispute_reference="DSP-1")
    found = {"confirmed": confirmed, "declined": declined, "disputed": disputed}
    return {name: msgspec.json.encode(told) for name, told in found.items()} | {"refused-empty": b"{}"}


def _answers() -> dict[str, dict[str, bytes]]:
    write, attempt_id = msgspec.json.encode, "att_eu_1_1"
    confirmed = AttemptAnswer(attempt_id, "confirmed", "pay_eu_1", 1999, "EUR", "REF-1")
    declined = AttemptAnswer(attempt_id, "declined", "pay_eu_1", 1999, "EUR", "REF-1", "do_not_honour")
    about = {"merchant_order_id": "pay_eu_1", "transaction_amount": "19.99", "transaction_currency": "EUR"}
    approved = CardAnswer(
        merchant_transaction_id=attempt_id, status="APPROVED", network_reference="REF-1", response_code="00",
        approval_code="A1B2C3", **about,
    )  # fmt: skip
    refused = CardAnswer(
        merchant_transaction_id=attempt_id, status="DECLINED", network_reference="REF-1", response_code="61",
        **about,
    )  # fmt: skip
    unknown = CardAnswer(merchant_transaction_id=attempt_id, status="NO_RECORD")
    return {
        "json_answer": {
            "confirmed": write(confirmed),
            "declined": write(declined),
            "not-found": write(AttemptAnswer(attempt_id, "not_found")),
        },
        "card_answer": {
            "approved": write(approved),
            "declined": write(refused),
            "no-record": write(unknown),
            "refused-contradiction": write(msgspec.structs.replace(approved, response_code="05")),
        },
    }


def _settlements() -> dict[str, dict[str, bytes]]:
    write = msgspec.json.encode
    line = SettlementLine(
        line=8, attempt_id="att_eu_1_1", end_to_end_id="pay_eu_1", operation="collect", amount_minor=1999,
        fee_minor=14, currency="EUR", bank_reference="REF-1", value_date="2026-11-02",
    )  # fmt: skip
    record = ClearingRecord(
        sequence=8, merchant_transaction_id="att_eu_1_1", merchant_order_id="pay_eu_1",
        record_type="PURCHASE", cleared_amount="19.99", interchange_fee="0.10", scheme_fee="0.04",
        clearing_currency="EUR", network_reference="REF-1", settlement_date="20261102",
    )  # fmt: skip
    back = msgspec.structs.replace(line, line=9, operation="returned")
    charged = msgspec.structs.replace(record, sequence=9, record_type="CHARGEBACK")
    return {
        "json_settlement": {"two": write(SettlementPage([line, back])), "none": b'{"lines":[]}'},
        "card_settlement": {"two": write(ClearingFile(records=[record, charged])), "none": b'{"records":[]}'},
    }
