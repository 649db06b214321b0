"""The daemon's log: JSON lines on standard error, a constant sentence and fields; never a secret.

Libraries' warnings go into the same stream, so that what reads it needs one parser.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

# A sentence that names forty consumers fits; what is longer is cut, for a line must stay one line.
FIELD_CHARS_MAX: Final = 2000
_LOG: Final = logging.getLogger("pki.daemon")


class _JSONLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "event": record.getMessage()[:FIELD_CHARS_MAX],
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            **getattr(record, "told", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__  # its text may hold what must not be logged
        return json.dumps(fields, ensure_ascii=False)


def set_up_log() -> None:
    """Send this process's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOG.setLevel(logging.INFO)


def log(level: int, sentence: str, /, **fields: str | float | list[str] | None) -> None:
    """Write one line.

    Args:
        level: of `logging`; ERROR means that a human must act.
        sentence: constant.
        fields: what happened; texts are cut at `FIELD_CHARS_MAX`.
    """
    told = {name: v[:FIELD_CHARS_MAX] if isinstance(v, str) else v for name, v in fields.items()}
    _LOG.log(level, sentence, extra={"told": told})
