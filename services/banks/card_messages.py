"""The words of the card network: its own names, status words, codes, and amounts as decimals in strings.

Between the card connector and the network; nobody else speaks them. Promises: both sides refuse fields that
they do not know; every answer repeats amount, currency and both ids; the key is a header and a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

import msgspec

from services.banks.exponents import ISO_EXPONENTS
from services.banks.messages import LINE_MAX, BankReference, Currency, Identifier, Movement, Operation, Uetr
from services.node.redacted import Redacted

TRANSACTIONS_PATH = "/acquirer/transactions"
CARD_INQUIRIES_PATH = "/acquirer/inquiries"
CLEARING_PATH = "/acquirer/clearing"
# A page of the clearing file: 600 bytes a record leave it well below what one answer may have.
CLEARING_RECORDS_MAX = 1_000

# Where the network counts otherwise than ISO 4217: two digits of CLP and ISK, none of CVE and IDR.
# Source: Adyen's list of currency codes ("differs from standard").
CARD_EXPONENTS: Mapping[str, int] = MappingProxyType(
    {**ISO_EXPONENTS, "CLP": 2, "ISK": 2, "CVE": 0, "IDR": 0}
)

# PURCHASE charges at once, COMPLETION captures, REVERSAL voids, ORIGINAL_CREDIT pays out.
CardType: TypeAlias = Literal[
    "PURCHASE", "PREAUTHORIZATION", "COMPLETION", "REVERSAL", "ORIGINAL_CREDIT", "REFUND"
]
CARD_TYPES: Mapping[Operation, CardType] = MappingProxyType(
    {
        "collect": "PURCHASE", "authorise": "PREAUTHORIZATION", "capture": "COMPLETION",
        "void": "REVERSAL", "payout": "ORIGINAL_CREDIT", "refund": "REFUND",
    }
)  # fmt: skip
CardStatus: TypeAlias = Literal["APPROVED", "DECLINED", "IN_PROGRESS", "NO_RECORD"]

APPROVED_CODE = "00"
# Response codes to decline codes; one that is not listed is a plain refusal ("declined"). 91 and 96 are the
# network's word that nothing was charged, so another bank may be tried.
# Source: ISO 8583:1987, data element 39.
DECLINES: Mapping[str, str] = MappingProxyType(
    {
        "05": "do_not_honour", "12": "original_mismatch", "13": "amount_too_large", "14": "invalid_account",
        "25": "original_unknown", "41": "lost_card", "43": "stolen_card", "51": "insufficient_funds",
        "54": "expired_card", "57": "not_permitted", "59": "suspected_fraud", "61": "limit_exceeded",
        "65": "authentication_required", "77": "already_captured", "78": "already_voided",
        "91": "bank_unavailable", "96": "technical",
    }
)  # fmt: skip
DECLINED_OTHERWISE = "declined"

CardDecimal: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?\Z")]
ResponseCode: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Z]{2}\Z")]
ApprovalCode: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Z]{6}\Z")]
ClearingType: TypeAlias = Literal[
    "PURCHASE", "COMPLETION", "ORIGINAL_CREDIT", "REFUND", "REFUND_REJECTED", "RETURN", "CHARGEBACK"
]
CLEARING_TYPES: Mapping[ClearingType, Movement] = MappingProxyType(
    {
        "PURCHASE": "collect", "COMPLETION": "capture", "ORIGINAL_CREDIT": "payout", "REFUND": "refund",
        "REFUND_REJECTED": "bounced", "RETURN": "returned", "CHARGEBACK": "chargeback",
    }
)  # fmt: skip


class CardTransaction(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, rename="camel"
):
    """One request to the network; `merchantTransactionId` is also the idempotency header.

    Attributes:
        merchant_transaction_id: The attempt's id.
        merchant_order_id: The payment's id.
        original_network_reference: Of what is completed, reversed or refunded.
        card_number, card_expiry: What the token stands for, if it is the vault's; the expiry as `YYMM`.
    """

    merchant_transaction_id: Identifier
    merchant_order_id: Identifier
    uetr: Uetr
    transaction_type: CardType
    transaction_amount: CardDecimal
    transaction_currency: Currency
    card_token: Identifier
    original_network_reference: BankReference | None = None
    card_number: Redacted | None = None
    card_expiry: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{2}(0[1-9]|1[0-2])\Z")] | None = None


class CardInquiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """What became of a transaction?"""

    merchant_transaction_id: Identifier


class CardAnswer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, rename="camel"
):
    """What the network says. Only `NO_RECORD` comes without the fields that say what it is about.

    Attributes:
        response_code: `00` with `APPROVED` and with nothing else; absent while `IN_PROGRESS`.
        approval_code: With `APPROVED` only.
        network_reference: The network's own id of the transaction.
    """

    merchant_transaction_id: Identifier
    status: CardStatus
    merchant_order_id: Identifier | None = None
    transaction_amount: CardDecimal | None = None
    transaction_currency: Currency | None = None
    network_reference: BankReference | None = None
    response_code: ResponseCode | None = None
    approval_code: ApprovalCode | None = None


class ClearingAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Ask for the records of the clearing file after one, 0 from the start."""

    after_sequence: Annotated[int, msgspec.Meta(ge=0, le=LINE_MAX)]
    records_max: Annotated[int, msgspec.Meta(ge=1, le=CLEARING_RECORDS_MAX)]


class ClearingRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """One record of the clearing file. The network's fee has two parts; both are what it keeps.

    Attributes:
        settlement_date: `YYYYMMDD`.
    """

    sequence: Annotated[int, msgspec.Meta(ge=1, le=LINE_MAX)]
    merchant_transaction_id: Identifier
    merchant_order_id: Identifier
    record_type: ClearingType
    cleared_amount: CardDecimal
    interchange_fee: CardDecimal
    scheme_fee: CardDecimal
    clearing_currency: Currency
    network_reference: BankReference
    settlement_date: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])\Z")
    ]


class ClearingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Records in rising order of their sequence; none: there are no more by now."""

    records: Annotated[list[ClearingRecord], msgspec.Meta(max_length=CLEARING_RECORDS_MAX)]
