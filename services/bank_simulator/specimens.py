"""Test numbers and test tokens: one list for the simulated banks, the README and the tests (pure).

A card or account number of this list does what its token does; every other valid one is charged. The tokens
`tok_NAME` are for merchants who want to keep no number at all; the vault's own tokens have another form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from services.node.redacted import Redacted


@dataclass(frozen=True, slots=True)
class Specimen:
    """One test instrument.

    Attributes:
        ends: The status that a payment by it ends in.
        what: What the bank does, for the page.
    """

    token: str
    card: str
    iban: str
    ends: Literal["succeeded", "failed"]
    what: str


def _specimen(name: str, card: str, iban: str, ends: Literal["succeeded", "failed"], what: str) -> Specimen:
    return Specimen(f"tok_{name}", card, iban, ends, what)


# Cards of 4000 0090 0000 and the German IBANs are ours; the others are those that every payment company's
# test mode knows. None is a number of anybody.
SPECIMENS: Final[tuple[Specimen, ...]] = (
    _specimen("visa_ok", "4242424242424242", "DE89370400440532013000", "succeeded", "it is charged"),
    _specimen(
        "declined_insufficient_funds",
        "4000000000009995",
        "DE62370400440532013001",
        "failed",
        "declined: no cover",
    ),
    _specimen(
        "declined_do_not_honour",
        "4000000000000002",
        "DE35370400440532013002",
        "failed",
        "declined without a reason",
    ),
    _specimen(
        "declined_lost_card",
        "4000000000009987",
        "DE08370400440532013003",
        "failed",
        "declined: reported lost",
    ),
    _specimen(
        "declined_expired_card", "4000000000000069", "DE78370400440532013004", "failed", "declined: expired"
    ),
    _specimen(
        "declined_technical",
        "4000000000000119",
        "DE51370400440532013005",
        "failed",
        "every bank declines, and another one may be tried",
    ),
    _specimen("slow", "4000009000000060", "DE24370400440532013006", "succeeded", "charged after two seconds"),
    _specimen(
        "timeout_then_success",
        "4000009000000078",
        "DE94370400440532013007",
        "succeeded",
        "charged, and no answer in time",
    ),
    _specimen(
        "reset",
        "4000009000000086",
        "DE67370400440532013008",
        "succeeded",
        "charged, and the answer is lost with the connection",
    ),
    _specimen(
        "unavailable_once",
        "4000009000000094",
        "DE40370400440532013009",
        "succeeded",
        "503 and not taken; the second time it is charged",
    ),
    _specimen(
        "error_after", "4000009000000102", "DE13370400440532013010", "succeeded", "charged, and then 503"
    ),
    _specimen(
        "found_late",
        "4000009000000110",
        "DE83370400440532013011",
        "succeeded",
        "charged, no answer, and the bank does not find it for a while",
    ),
    _specimen(
        "garbage",
        "4000009000000128",
        "DE56370400440532013012",
        "succeeded",
        "charged, and the answer is not readable",
    ),
    _specimen(
        "wrong_amount",
        "4000009000000136",
        "DE29370400440532013013",
        "succeeded",
        "charged, and the answer tells another amount",
    ),
    _specimen(
        "pending_then_confirmed",
        "4000009000000144",
        "DE02370400440532013014",
        "succeeded",
        "taken, and charged a second later",
    ),
    _specimen(
        "pending_then_declined",
        "4000009000000151",
        "DE72370400440532013015",
        "failed",
        "taken, and declined a second later",
    ),
    _specimen(
        "pending_then_silent",
        "4000009000000169",
        "DE45370400440532013016",
        "succeeded",
        "taken, charged later, and nobody is told",
    ),
    _specimen(
        "duplicate_callbacks",
        "4000009000000177",
        "DE18370400440532013017",
        "succeeded",
        "charged, and told three times more",
    ),
    _specimen(
        "callback_first",
        "4000009000000185",
        "DE88370400440532013018",
        "succeeded",
        "charged, and told before it is answered",
    ),
    _specimen(
        "declined_then_confirmed",
        "4000009000000193",
        "DE61370400440532013019",
        "failed",
        "declined, and charged all the same: late success, given back",
    ),
    _specimen(
        "chargeback_won",
        "4000009000000201",
        "DE34370400440532013020",
        "succeeded",
        "charged; a dispute is opened, and won",
    ),
    _specimen(
        "chargeback_lost",
        "4000000000000259",
        "DE07370400440532013021",
        "succeeded",
        "charged; a dispute is opened, and lost",
    ),
    _specimen(
        "returned",
        "4000009000000227",
        "DE77370400440532013022",
        "succeeded",
        "charged, and the bank takes the money back",
    ),
    _specimen(
        "refund_bounces",
        "4000000000005126",
        "DE50370400440532013023",
        "succeeded",
        "charged; a refund of it comes back",
    ),
    _specimen(
        "refund_declined_original_mismatch",
        "4000009000000243",
        "DE23370400440532013024",
        "succeeded",
        "charged; a refund of it is declined",
    ),
    _specimen(
        "refund_timeout_then_success",
        "4000009000000250",
        "DE93370400440532013025",
        "succeeded",
        "charged; a refund of it is done without an answer in time",
    ),
    _specimen(
        "refund_pending_then_confirmed",
        "4000009000000268",
        "DE66370400440532013026",
        "succeeded",
        "charged; a refund of it takes a second",
    ),
)
_BY_NUMBER: Final[Mapping[str, str]] = MappingProxyType(
    {number: each.token for each in SPECIMENS for number in (each.card, each.iban)}
)


def asked_of(token: str, card: Redacted | None, iban: Redacted | None) -> str:
    """The token that says what the bank does: that of the number, if one came and is of the list.

    The bank's books know an instrument by it: no number is ever written there.
    """
    number = card or iban
    return token if number is None else _BY_NUMBER.get(number.reveal(), token)


def page() -> str:
    """The table of the README."""
    lines = ["| token | card | IBAN | what the bank does | payment |", "|---|---|---|---|---|"]
    lines += [
        f"| `{each.token}` | `{each.card}` | `{each.iban}` | {each.what} | {each.ends} |"
        for each in SPECIMENS
    ]
    return "\n".join(lines)
