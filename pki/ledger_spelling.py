"""Ledger lines that are spelled like one that was fully checked: recognised whole, in one match.

A ledger repeats a handful of shapes: the same keys, values of plain text or whole numbers. Once a line of a
shape has been parsed and found canonical, a pattern made from it accepts exactly the canonical lines of that
shape; anything else (an escape, another key, a space) goes the slow way, which also says what is wrong. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Printable ASCII that JSON writes as itself: no quotation mark, no backslash.
_TEXT: Final = r"[ !#-\[\]-~]*+"
# One spelling for each number, and never more digits than fit 64 bits.
_NUMBER: Final = r"(?:0|-?[1-9][0-9]{0,17})"
_PLAIN_KEY: Final = re.compile(r"[a-z0-9_]+", re.ASCII)
# Every command writes the same few shapes; a hostile ledger must not make us remember one for each line.
_SHAPES_MAX: Final = 16
_BEFORE_HASH: Final = len(',"hash":"')


class SpelledLine(NamedTuple):
    """What verification needs of a canonical line.

    Attributes:
        document: the serial number or list that an intent or result is about; None for other lines.
        hashed: the line without its hash: what the hash is of.
    """

    seq: int
    prev: str
    ts: str
    event: str
    digest: str
    document: str | None
    is_certificate: bool
    hashed: str


class Spelling:
    """The shapes met so far."""

    def __init__(self, documents: tuple[str, ...]) -> None:
        """Begin with none.

        Args:
            documents: keys that name a document, the first of them found counting.
        """
        self._documents = documents
        self._shapes: dict[tuple[tuple[str, type], ...], tuple[re.Pattern[str], str | None, bool]] = {}
        self._last: tuple[re.Pattern[str], str | None, bool] | None = None

    def read(self, line: str) -> SpelledLine | None:
        """Return what a line of a known shape says; None for one that must go the slow way."""
        shape = self._last
        found = None if shape is None else shape[0].fullmatch(line)
        if found is None:
            for shape in self._shapes.values():
                found = shape[0].fullmatch(line)
                if found is not None:
                    break
        if shape is None or found is None:
            return None
        self._last = shape
        digest, prev, seq, ts, event = found.group("hash", "prev", "seq", "ts", "event")
        hashed = line[: found.start("hash") - _BEFORE_HASH] + line[found.end("hash") + 1 :]
        document = None if shape[1] is None else found[shape[1]]
        return SpelledLine(int(seq), prev, ts, event, digest, document, shape[2], hashed)

    def learn(self, entry: Mapping[str, str | int]) -> None:
        """Remember the shape of a line that was parsed and found canonical."""
        shape = tuple((key, type(entry[key])) for key in sorted(entry))
        if len(self._shapes) == _SHAPES_MAX or any(_PLAIN_KEY.fullmatch(key) is None for key in entry):
            return
        document = next((key for key in self._documents if isinstance(entry.get(key), str)), None)
        wanted = {"hash", "prev", "seq", "ts", "event", document}
        members = []
        for key, kind in shape:
            value = _TEXT if kind is str else _NUMBER
            value = f"(?P<{key}>{value})" if key in wanted else value
            members.append(f'"{key}":"{value}"' if kind is str else f'"{key}":{value}')
        pattern = re.compile(r"\{" + ",".join(members) + r"\}", re.ASCII)
        self._shapes[shape] = (pattern, document, "serial" in entry)
