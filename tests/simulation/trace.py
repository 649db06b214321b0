"""What happened in a world, line by line: printed in a replay, hashed always."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """Lines `time what`; two runs of one seed must give the same digest."""

    def __init__(self, clock: Callable[[], float], *, is_loud: bool = False) -> None:
        self._clock = clock
        self._is_loud = is_loud
        self._hash = hashlib.blake2b(digest_size=8)
        self.lines = 0
        self.violations: list[str] = []

    def note(self, *words: object) -> None:
        line = f"{self._clock():.4f} {' '.join(map(str, words))}"
        self._hash.update(line.encode())
        self.lines += 1
        if self._is_loud:
            print(line)

    def violate(self, invariant: str, what: str) -> None:
        """Something that must never happen has happened."""
        self.note("VIOLATION", invariant, what)
        self.violations.append(f"{invariant}: {what}")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
