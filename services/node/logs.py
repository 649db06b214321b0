"""Logs for operators: JSON lines on standard error, one event a line, data in fields.

The message is a constant sentence. Never in a field: bodies, header values, signatures, nonces, tokens.
Logs may be lost; evidence lives elsewhere and may not.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PLACES_MAX = 8  # the innermost frames; those around them are the event loop's


def set_up_logs(service: str, level: str) -> None:
    """Send structlog and the standard library's loggers to one JSON stream.

    Args:
        service: Workload name, a field of every line.
        level: One of `debug`, `info`, `warning`, `error`; anything else means `info`.
    """
    number = _LEVELS.get(level, logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables: they hold bodies, signatures and tokens.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_StructlogHandler()], force=True)


def get_log(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one module; `name` becomes the field `module`."""
    log: structlog.stdlib.BoundLogger = structlog.get_logger(module=name)
    return log


def _to_json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


class _StructlogHandler(logging.Handler):
    """Carries warnings of libraries into the same stream, with their text as a field."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"library": record.name, "text": record.getMessage()[:500]}
        if record.exc_info and record.exc_info[0] is not None:
            # A parser's exception quotes what a peer sent: its kind and its places are kept, never its text.
            frames = traceback.extract_tb(record.exc_info[2])
            fields["fault"] = record.exc_info[0].__qualname__
            fields["places"] = [f"{frame.filename}:{frame.lineno}" for frame in frames[-_PLACES_MAX:]]
        structlog.get_logger().log(record.levelno, "a library reported", **fields)
