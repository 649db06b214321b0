"""What the settlement file says about a movement: its fee, and what is wrong on purpose (pure)."""

from __future__ import annotations

from services.bank_simulator.script import BankScript, draw

# What every transaction costs, and ten thousandths of its amount on top; giving money back costs nothing.
FEE_FIXED_MINOR = 10
FEE_BASIS_POINTS = 20
_BASIS_POINTS = 10_000
_WITH_FEE = frozenset({"collect", "capture", "payout"})
_OFF_MINOR = 100
_TOKEN = "tok_settlement_"  # noqa: S105 - how instruments begin that ask for a break.

# What moves no money between the bank and us is in no settlement file.
_NOT_SETTLED = frozenset({"authorise", "void"})


def fee_minor(operation: str, amount_minor: int) -> int:
    """The bank's fee, in minor units, half a unit rounded up."""
    if operation not in _WITH_FEE:
        return 0
    return FEE_FIXED_MINOR + (2 * amount_minor * FEE_BASIS_POINTS + _BASIS_POINTS) // (2 * _BASIS_POINTS)


def settled_amounts(
    script: BankScript, attempt_id: str, operation: str, instrument: str, amount_minor: int
) -> list[int]:
    """Amounts of the lines for one movement: usually one, the true one.

    `tok_settlement_missing`, `_wrong` and `_extra` ask for a break; else the script's rates decide.
    """
    if operation in _NOT_SETTLED:
        return []
    asked = instrument.removeprefix(_TOKEN) if instrument.startswith(_TOKEN) else ""

    def breaks(kind: str, rate: float) -> bool:
        return asked == kind or draw(script.seed, attempt_id, f"settlement {kind}") < rate

    if breaks("missing", script.settlement_missing_rate):
        return []
    off = _OFF_MINOR if breaks("wrong", script.settlement_wrong_rate) else 0
    copies = 2 if breaks("extra", script.settlement_extra_rate) else 1
    return [amount_minor + off] * copies
