"""Bytes to commands: JSON in one strict reading, then a typed structure, or a refusal (pure).

Refused because parsers disagree about them: duplicate members, NaN and infinities, floats (money is integer
minor units), a byte order mark, other encodings, lone surrogates, deep nesting, huge numbers.
Source: RFC 8259 §4, §6, §8; RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec

from gateway.errors import FieldFault, MalformedJSON, ValidationFailed
from signing.profile import KEY_ID

DEPTH_MAX = 16  # Our deepest command has two levels; nobody needs more than this to say anything.
INTEGER_MAX = 2**53 - 1  # Beyond it, JavaScript and others round silently (RFC 7493 §2.2).
# The record's own bound (payments.payment): sums of these stay far below 64 bits, and no single payment
# comes near it. A larger amount must be refused here, or it would fail the whole batch that carries it.
AMOUNT_MINOR_MAX = 999_999_999_999
_INTEGER_CHARS_MAX = 17  # A sign and 16 digits: longer texts are not even converted.

# What a field may hold is written so that it has one encoding everywhere: printable ASCII.
Currency = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
Instrument = Annotated[str, msgspec.Meta(pattern=r"\Atok_[A-Za-z0-9_]{1,64}\Z")]
MerchantReference = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?\Z")]
AmountMinor = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
EnrolmentToken = Annotated[str, msgspec.Meta(pattern=r"\Acmet_[a-z0-9_]{1,48}\.[A-Za-z0-9_-]{43}\Z")]
# 64 bytes in canonical base64: 85 characters, one that holds the last two bits, padding.
ScopeName = Literal["instruments", "manage_keys", "manage_webhooks", "pay", "read", "refund"]
Scopes = Annotated[list[ScopeName], msgspec.Meta(min_length=1, max_length=6)]
Proof = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{85}[AQgw]==\Z")]


class PaymentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/payments.

    Attributes:
        kind: `collect` takes money in for the merchant, `payout` sends it out.
        amount: minor units of the currency, at least 1.
        currency: ISO 4217, upper case.
        instrument: a token; a card or account number never travels in a payment request.
        merchant_reference: the merchant's own name for it, 1 to 64 printable characters.
        capture_method: `manual` authorises a collect, which a capture takes later.
        duplicate_policy: `allow` lets it look like an earlier payment with the same merchant_reference.
    """

    kind: Literal["collect", "payout"]
    amount: AmountMinor
    currency: Currency
    instrument: Instrument
    merchant_reference: MerchantReference | None = None
    capture_method: Literal["automatic", "manual"] = "automatic"
    duplicate_policy: Literal["reject", "allow"] = "reject"


class KeyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/keys: each key comes with its proof, the first one with a token, too.

    Attributes:
        public_key: the key as a JWK (RFC 7517), without private members.
        enrolment_token: of a first key: what the operator handed over.
        proof: the new key's own signature over the registration statement, base64.
        issued_at: when the statement was signed, seconds since the epoch.
        scopes: what the key may do, at most what the vouching one may, which is the default; a first key has
            every scope.
    """

    public_key: dict[str, str]
    enrolment_token: EnrolmentToken | None = None
    proof: Proof | None = None
    issued_at: Annotated[int, msgspec.Meta(ge=0, le=10**12 - 1)] | None = None
    scopes: Scopes | None = None


class TokenOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/oauth/token: the parameters of RFC 6749 §4.4.2 and RFC 9449 §10, as JSON.

    Attributes:
        grant_type: the one grant there is; the client's credential is the signature of the request.
        scope: the one scope there is; a token reads.
        dpop_jkt: the RFC 7638 thumbprint of the key that the token is bound to; by default the signing one.
    """

    grant_type: Literal["client_credentials"]
    scope: Literal["read"] = "read"
    dpop_jkt: Annotated[str, msgspec.Meta(pattern=rf"\A{KEY_ID.pattern}\Z")] | None = None


CommandT = TypeVar("CommandT")


class NotAnInteger:
    """A number with a fraction or an exponent: JSON, and no value that any field here takes."""


# How it was written is forgotten: money that was a float once is not rounded, it is refused.
FRACTION = NotAnInteger()


def parse_command(body: bytes, kind: type[CommandT]) -> CommandT:
    """Read a body as one command.

    Raises:
        MalformedJSON: not JSON in the strict form.
        ValidationFailed: JSON, and not this command; carries the pointer of the first fault.
    """
    value = parse_json(body)
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as fault:
        expected, pointer = _describe(str(fault))
        raise ValidationFailed(
            "the body does not fit this operation", FieldFault(pointer, expected)
        ) from None


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - JSON is what it is; `parse_command` gives it a type
    """Read bytes as strict JSON: null, booleans, integers within ±(2^53−1), strings, arrays, objects.

    Raises:
        MalformedJSON: anything else.
    """
    try:
        text = body.decode("utf-8", "strict")
        value = json.loads(
            text,
            object_pairs_hook=_unique_members,
            parse_float=lambda _: FRACTION,
            parse_int=_bounded_integer,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise MalformedJSON("the body is not UTF-8") from None
    except json.JSONDecodeError as fault:
        # `msg` is one of the decoder's fixed sentences; the text it stumbled over is not repeated.
        raise MalformedJSON(f"the body is not JSON: {fault.msg} at character {fault.pos}") from None
    except RecursionError:
        raise MalformedJSON(f"the body is nested deeper than {DEPTH_MAX} levels") from None
    _require_sound(value, depth=0)
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJSON("an object has two members of the same name")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedJSON("NaN and Infinity are not JSON")


def _bounded_integer(text: str) -> int:
    if len(text) > _INTEGER_CHARS_MAX or not -INTEGER_MAX <= (number := int(text)) <= INTEGER_MAX:
        raise MalformedJSON("an integer lies beyond ±(2^53−1)")
    return number


def _require_sound(value: Any, *, depth: int) -> None:  # noqa: ANN401 - walks any JSON value
    if isinstance(value, str):
        try:
            value.isascii() or value.encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedJSON("a string has half of a surrogate pair") from None
        return
    if not isinstance(value, (dict, list)):
        return
    if depth >= DEPTH_MAX:
        raise MalformedJSON(f"the body is nested deeper than {DEPTH_MAX} levels")
    children = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    for child in children:
        _require_sound(child, depth=depth + 1)


_PATH = re.compile(r"(?P<expected>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)


def _describe(message: str) -> tuple[str, str]:
    """Split msgspec's sentence into what was expected and a JSON pointer.

    An unknown member's name is the sender's text and stays out of the answer.
    """
    match = _PATH.fullmatch(message)
    if match is None or message.startswith("Object contains unknown field"):
        return "there is a member that this operation does not know", ""
    steps = re.findall(r"\.([a-z_]+)|\[([0-9]+)\]", match["path"] or "")
    return match["expected"], "".join(f"/{name or index}" for name, index in steps)
