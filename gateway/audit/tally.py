"""How much of a flood is written down: rows up to a bound for each registered key, else counts (pure).

An unsigned or unknown sender costs nothing to imitate, so refusing one must not write: it is counted. A
refusal that names a registered key is worth a row, but whoever knows a key id can provoke those too,
hence the bound.
"""

from __future__ import annotations

import json
from collections import Counter

WINDOW_S = 60.0  # One summary a minute from each worker at the most, and none in a quiet minute.
# A broken client repeats itself once a second; the sixty-first equal refusal of a minute tells nobody more.
ROWS_PER_KEY_PER_WINDOW_MAX = 60
# Over all keys: whoever knows many key ids must not fill the log, 330 bytes a row, faster than 300 MB a day.
ROWS_PER_WINDOW_MAX = 600
# Registered keys alone are counted by name; beyond this many in one minute they share one line.
KEYS_NAMED_MAX = 100
OTHERS = "others"


class Tally:
    """Counts of one window; `now` is monotonic seconds and never goes back."""

    def __init__(self, *, now: float) -> None:
        self._since = now
        self._rows: Counter[str] = Counter()
        self._unnamed: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()

    def admits_row(self, key_id: str, *, now: float) -> bool:
        """Tell whether a refusal naming this registered key gets a row; if not, it was counted here."""
        if now - self._since >= WINDOW_S:
            self._since = now
            self._rows.clear()
        admitted = self._rows[key_id] < ROWS_PER_KEY_PER_WINDOW_MAX
        if admitted and self._rows.total() < ROWS_PER_WINDOW_MAX:
            self._rows[key_id] += 1
            return True
        named = key_id in self._beyond or len(self._beyond) < KEYS_NAMED_MAX
        self._beyond[key_id if named else OTHERS] += 1
        return False

    def count(self, code: str) -> None:
        """Count a refusal that named no registered key, or one of a flood; codes come from a closed list."""
        self._unnamed[code] += 1

    def take_summary(self) -> str | None:
        """Return the counts since the last summary as canonical JSON and start anew; None if all are zero."""
        if not self._unnamed and not self._beyond:
            return None
        summary = {"beyond_bound": dict(self._beyond), "without_known_key": dict(self._unnamed)}
        self._unnamed.clear()
        self._beyond.clear()
        return json.dumps(summary, sort_keys=True, separators=(",", ":"))

    def give_back(self, summary: str) -> None:
        """Add the counts of a summary that could not be written."""
        counts = json.loads(summary)
        self._beyond.update(counts["beyond_bound"])
        self._unnamed.update(counts["without_known_key"])
