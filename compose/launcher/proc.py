"""What the kernel says about processes: identity across pid reuse, descendants, memory."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def started_at_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process, None when it is gone; tells reused pids apart."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def state_of(pid: int) -> str:
    """The kernel's one-letter state, `X` when the process is gone."""
    fields = _stat_fields(pid)
    return fields[0] if fields else "X"


def _stat_fields(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # The name in parentheses may itself hold spaces and parentheses.


def with_descendants(pid: int) -> list[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        pending += children.get(current, [])
    return found


def memory_bytes(pid: int) -> int:
    """Proportional set size: shared pages are divided among those who share them; 0 when it is gone."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
