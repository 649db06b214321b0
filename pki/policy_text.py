"""The policy's text, one statement a line, so that each fault has the line that a reviewer looks at (pure).

TOML offers several ways to write one table; this file allows one of them: `[workload.NAME]` and one
`key = value` a line. What the lines say must be what the TOML says, else the file is refused: a reviewer
reads lines, and nothing may stand between them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

# Fifty workloads are 12 KiB; far more is no policy that anybody has reviewed.
POLICY_BYTES_MAX: Final = 256 * 1024
_TABLE: Final = re.compile(r"\s*\[\s*workload\s*\.\s*([A-Za-z0-9_-]+)\s*\]\s*(?:#.*)?", re.ASCII)
_PAIR: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=.*", re.ASCII)
_BLANK: Final = re.compile(r"\s*(?:#.*)?", re.ASCII)
_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_REASON_CHARS_MAX: Final = 200
_ONE_WAY: Final = "write one `key = value` a line, below `[workload.NAME]`"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong, and the line where it is mended."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Located:
    """A table of the file.

    Attributes:
        line: of its header; 1 for what stands before the first table.
        values: as TOML reads them.
        lines: key to line.
    """

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, key: str) -> int:
        """Where a key stands; where its table begins if it is missing."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """What the file says, with lines.

    Attributes:
        top: the keys before the first table.
        workloads: table by workload name, in the order of the file.
        line_count: of the whole file, at least 1.
        readable: whether there are lines to judge at all.
        faults: of the way it is written.
    """

    top: Located
    workloads: dict[str, Located]
    line_count: int
    readable: bool = False
    faults: tuple[Fault, ...] = ()


def locate(data: bytes) -> PolicyText:
    """Read the lines of a policy; never raises, whatever the bytes are."""
    line_count = max(1, data.count(b"\n") + (not data.endswith(b"\n")))
    try:
        document = _parse(data, line_count)
    except _Unreadable as unreadable:
        return PolicyText(Located(1), {}, line_count, faults=(unreadable.fault,))
    top = Located(1)
    workloads: dict[str, Located] = {}
    # TOML ends a line with \n alone; splitlines() would also split inside what TOML takes for one line.
    faults = _read_lines(data.decode().split("\n"), top, workloads)
    written = {**top.values, "workload": {name: table.values for name, table in workloads.items()}}
    # Compared as text, for `nan` differs from itself; TOML and the lines have the same order.
    if not faults and repr(written) != repr({**document, "workload": document.get("workload", {})}):
        faults.append(Fault(1, f"the lines do not say what the TOML says: {_ONE_WAY}"))
    return PolicyText(top, workloads, line_count, readable=True, faults=tuple(faults))


class _Unreadable(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.fault = Fault(line, reason)


def _parse(data: bytes, line_count: int) -> dict[str, Any]:
    if len(data) > POLICY_BYTES_MAX:
        raise _Unreadable(1, f"the file is larger than {POLICY_BYTES_MAX} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise _Unreadable(1 + data[: fault.start].count(b"\n"), "this is not UTF-8") from fault
    except RecursionError:
        raise _Unreadable(1, f"values are nested too deeply: {_ONE_WAY}") from None
    except ValueError as fault:  # TOMLDecodeError is one; so is a number with too many digits
        found = _SYNTAX_LINE.search(str(fault))
        line = int(found[1]) if found else line_count
        raise _Unreadable(line, f"this is not TOML: {str(fault)[:_REASON_CHARS_MAX]}") from fault


def _read_lines(lines: list[str], top: Located, workloads: dict[str, Located]) -> list[Fault]:
    """Fill the tables and return the lines that are neither a table's header nor one pair."""
    faults, table = [], top
    for number, ended in enumerate(lines, start=1):
        line = ended.removesuffix("\r")
        if _BLANK.fullmatch(line):
            continue
        if header := _TABLE.fullmatch(line):
            table = workloads.setdefault(header[1], Located(number))
            continue
        pair = _PAIR.fullmatch(line)
        try:
            value = tomllib.loads(line) if pair else {}
        except (ValueError, RecursionError):
            value = {}
        if pair is None or pair[1] not in value:
            faults.append(Fault(number, _ONE_WAY))
            continue
        table.values[pair[1]] = value[pair[1]]
        table.lines[pair[1]] = number
    return faults
