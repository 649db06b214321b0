"""What a verdict is decided by, in one canonical form, so that it can be decided again years later (pure).

Instruments and merchants appear as hashes where they are keys; the token of an instrument is not kept.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from services.fraud.messages import PaymentKind, Screening
from services.fraud.rules import Subject


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the payment itself says; `instrument_sha256` is of the token, see `subject_key`."""

    payment_id: str
    account_id: str
    merchant_id: str
    kind: PaymentKind
    amount_minor: int
    currency: str
    instrument_sha256: str
    accepted_at: datetime


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that was looked at.

    Attributes:
        velocity: The numbers seen, by `Question.name`; one that could not be told is absent.
    """

    facts: Facts
    velocity: dict[str, int]


class Question(msgspec.Struct, frozen=True):
    """One number that a rule needs: how many, or how much in `currency`, within a window.

    Attributes:
        payment: Only this kind counts; None for both.
        currency: None: a count over all currencies.
    """

    subject: Subject
    payment: PaymentKind | None
    currency: str | None
    window_s: int

    @property
    def name(self) -> str:
        """Its name among the inputs, such as `merchant/any/count/3600` or `instrument/payout/EUR/86400`."""
        return f"{self.subject}/{self.payment or 'any'}/{self.currency or 'count'}/{self.window_s}"


# `sorted` orders the members of every object; there are no floats and no duplicate names.
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Inputs, strict=True)


def subject_key(subject: Subject, value: str) -> bytes:
    """The 32 bytes under which an instrument or a merchant is counted and looked up."""
    return hashlib.sha256(f"countermark-{subject}-v1\0{value}".encode()).digest()


def facts_of(item: Screening) -> Facts:
    """The facts of a question."""
    return Facts(
        payment_id=item.payment_id,
        account_id=item.account_id,
        merchant_id=item.merchant_id,
        kind=item.kind,
        amount_minor=item.amount_minor,
        currency=item.currency,
        instrument_sha256=subject_key("instrument", item.instrument).hex(),
        accepted_at=item.accepted_at,
    )


def key_of(facts: Facts, subject: Subject) -> bytes:
    """The key of a payment's instrument or merchant."""
    if subject == "instrument":
        return bytes.fromhex(facts.instrument_sha256)
    return subject_key("merchant", facts.merchant_id)


def canonical(inputs: Inputs) -> bytes:
    """The one spelling of these inputs, of which the digest is taken."""
    return _encoder.encode(inputs)


def parse_inputs(document: bytes) -> Inputs:
    """Read what `canonical` wrote.

    Raises:
        msgspec.DecodeError: It is something else.
    """
    return _decoder.decode(document)
