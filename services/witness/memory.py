"""What the witness remembers: one row for each log, in a SQLite file, durable before anything is signed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.witness.judgement import Seen

_SCHEMA = """
pragma journal_mode = wal;
create table if not exists seen (
    origin text primary key, size integer not null, root blob not null) strict;
"""


class Memory:
    """Open with `Memory(path)`; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.executescript(_SCHEMA)
        # FULL: in WAL mode anything less may forget the last commit when the power goes, and a witness that
        # forgets can be shown another history.
        self._file.execute("pragma synchronous = full")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def recall(self, origin: str) -> Seen | None:
        """What is remembered of a log."""
        row = self._file.execute("select size, root from seen where origin = ?", (origin,)).fetchone()
        return None if row is None else Seen(*row)

    def remember(self, origin: str, seen: Seen) -> None:
        """Remember the newest checkpoint of a log; durable on return."""
        self._file.execute(
            "insert into seen (origin, size, root) values (?1, ?2, ?3) "
            "on conflict (origin) do update set size = ?2, root = ?3",
            (origin, seen.size, seen.root),
        )
