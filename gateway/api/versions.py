"""Older shapes of answers, for merchants that were here before a change (pure).

A merchant is pinned to the version of the day it was enrolled. Handlers build the newest shape, and nothing
else; each change that an older client would stumble over is written down here once, as the way back, and the
ways back are walked from the newest to the merchant's. Adding a member is no such change.
Stored answers to repeated requests are kept as they were sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import msgspec

Document = dict[str, Any]
# From the shape of the change's version to the shape of before; given a document of its own to work on.
WayBack = Callable[[Document], Document]


@dataclass(frozen=True, slots=True)
class Change:
    """What became different at a version.

    Attributes:
        version: the first that has it, `YYYY-MM-DD`.
        ways_back: for each `object` that it is about.
    """

    version: str
    ways_back: Mapping[str, WayBack]


API_VERSION = date(2026, 10, 1)  # What a merchant enrolled today is pinned to.
# Newest first.
CHANGES: tuple[Change, ...] = ()


class Versions:
    """Renders answers for the version that their reader is pinned to.

    Args:
        changes: newest first.
    """

    def __init__(self, changes: Sequence[Change] = CHANGES) -> None:
        dates = [change.version for change in changes]
        if dates != sorted(set(dates), reverse=True):
            raise ValueError("changes of versions are listed once each, newest first")
        self._changes = tuple(
            Change(change.version, MappingProxyType(dict(change.ways_back))) for change in changes
        )

    def render(self, answer: msgspec.Struct | Document, version: str) -> bytes:
        """Return an answer's bytes in the shape of a version."""
        if not self._after(version):
            return msgspec.json.encode(answer)
        return msgspec.json.encode(self._back(msgspec.to_builtins(answer), version))

    def shape(self, kind: str, version: str) -> str | None:
        """Return the version of a kind's shape if it is an older one; None for the newest."""
        crossed = [change for change in self._after(version) if kind in change.ways_back]
        return version if crossed else None

    def _after(self, version: str) -> list[Change]:
        # Dates of this form are in order as texts.
        return [change for change in self._changes if change.version > version]

    def _back(self, value: Any, version: str) -> Any:  # noqa: ANN401 - walks any JSON value
        """Objects within objects first, so that a way back finds the old shape inside, too."""
        if isinstance(value, list):
            return [self._back(each, version) for each in value]
        if not isinstance(value, dict):
            return value
        document = {name: self._back(each, version) for name, each in value.items()}
        for change in self._after(version):
            way_back = change.ways_back.get(str(document.get("object", "")))
            if way_back is not None:
                document = way_back(document)
        return document
