"""What a merchant can do about a decline: codes of banks and of our own checks to a piece of advice (pure).

Another bank is no advice for merchants: which bank is asked is for the routing to say, the next time, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Advice: TypeAlias = Literal["do_not_retry", "retry_later", "retry_other_instrument"]

# A code that is not here is a bank's own word: nobody knows whether trying again helps, and a card that is
# tried again and again after plain refusals is blocked.
_OTHERWISE: Advice = "do_not_retry"
_ADVICE: Mapping[str, Advice] = MappingProxyType(
    {
        "insufficient_funds": "retry_later",
        "limit_exceeded": "retry_later",
        "amount_too_large": "retry_later",
        "authentication_required": "retry_other_instrument",
        "expired_card": "retry_other_instrument",
        "invalid_account": "retry_other_instrument",
        "account_closed": "retry_other_instrument",
        "do_not_honour": "retry_other_instrument",
        "not_permitted": "retry_other_instrument",
        "bank_unavailable": "retry_later",
        "technical": "retry_later",
        "timeout": "retry_later",
        "review_expired": "retry_later",
    }
)


def advice_of(code: str) -> Advice:
    """Return what to do about a decline of this code."""
    return _ADVICE.get(code, _OTHERWISE)
