"""A text that shows itself to nobody who does not ask: card and account numbers on their way (pure).

Its `repr`, `str` and `format` are a constant, it cannot be pickled, and it is no `str`, so that it ends up in
a log or an error only where somebody wrote `reveal()`. The hooks let msgspec carry it as a JSON string.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Any, Final, NoReturn, TypeVar, final

import msgspec

SHOWN: Final = "<redacted>"
MessageT = TypeVar("MessageT")


@final
class Redacted:
    """A secret text; equal to another one with the same text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return SHOWN

    def __str__(self) -> str:
        return SHOWN

    def __format__(self, _: str) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Redacted):
            return NotImplemented
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Redacted, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a redacted text is not written anywhere")


def enc_hook(value: object) -> object:
    """For encoders of messages that carry redacted texts to those who may have them.

    Raises:
        NotImplementedError: It is something else that JSON has no word for.
    """
    if isinstance(value, Redacted):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def dec_hook(kind: type, value: Any) -> object:  # noqa: ANN401 - msgspec's signature
    """For decoders of the same messages.

    Raises:
        ValueError: There is no text where a redacted one is expected; it is not repeated.
    """
    if kind is Redacted and isinstance(value, str):
        return Redacted(value)
    raise ValueError("a text is expected")


def decoder_of(kind: type[MessageT]) -> msgspec.json.Decoder[MessageT]:
    """A strict decoder of messages with redacted texts."""
    return msgspec.json.Decoder(kind, strict=True, dec_hook=dec_hook)
