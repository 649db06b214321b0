"""What the commands print: plain lines, colour on a terminal, or one JSON document.

Colour repeats what the words say and never carries a meaning alone.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from pki.printable import printable
from pki.status import Level, StatusLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pki.authority import IssuedLeaf
    from pki.issuance import CertificatePlan

_MARKS = {
    Level.FINE: ("√", "+", "green"),
    Level.DUE: ("!", "!", "yellow"),
    Level.CRITICAL: ("×", "x", "bold red"),
}
# Read from the top: a workload's trouble is often its authority's.
_GROUPS = ("authority", "revocation lists", "rotation", "ledger", "workloads", "consumers")
BAR_CELLS = 10
# The id of a CA has 30 characters, the name of a workload at most 31; longer ones break the column.
WHAT_WIDTH_MAX = 34


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=1))


def moment(instant: datetime) -> str:
    """Return an instant as an operator reads it: UTC, to the minute."""
    return f"{instant:%Y-%m-%d %H:%M}Z"


def plan_fields(plan: CertificatePlan) -> dict[str, str]:
    """Return a plan as JSON fields."""
    return {
        "role": plan.profile.role,
        "subject": str(plan.identity or f"spiffe://{plan.trust_domain}"),
        "not_before": plan.not_before.isoformat(),
        "not_after": plan.not_after.isoformat(),
    }


def print_plans(plans: list[CertificatePlan]) -> None:
    """Print what would be signed."""
    for plan in plans:
        subject = str(plan.identity or f"spiffe://{plan.trust_domain}")
        print(f"would sign  {plan.profile.role:<12}  {subject}  until {moment(plan.not_after)}")


def leaf_fields(leaf: IssuedLeaf) -> dict[str, str]:
    """Return an issued leaf as JSON fields."""
    return {
        "name": leaf.identity.name,
        "spiffe_id": str(leaf.identity),
        "serial": leaf.serial,
        "not_after": leaf.not_after.isoformat(),
        "generation": leaf.generation.name,
    }


def status_fields(line: StatusLine) -> dict[str, str | int | None]:
    """Return a status line as JSON fields."""
    return {
        "group": line.group,
        "what": line.what,
        "level": line.level.name.lower(),
        "until": line.until.isoformat() if line.until else None,
        "left_percent": line.left_percent,
        "advice": line.advice,
    }


def in_groups(lines: Iterable[StatusLine]) -> dict[str, list[StatusLine]]:
    """Return the lines by group, in the order of reading; groups that we do not know come last."""
    groups: dict[str, list[StatusLine]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    rank = {group: place for place, group in enumerate(_GROUPS)}
    return {group: groups[group] for group in sorted(groups, key=lambda group: rank.get(group, len(rank)))}


def life_bar(percent: int, *, plain: bool) -> str:
    """Return how much of a life is left as a bar of `BAR_CELLS` cells; what is not over shows one cell."""
    full = 0 if percent <= 0 else max(1, round(min(percent, 100) * BAR_CELLS / 100))
    solid, empty = ("#", "-") if plain else ("█", "░")
    return solid * full + empty * (BAR_CELLS - full)


def status_counts(lines: Iterable[StatusLine]) -> str:
    """Return the verdict in numbers, the gravest first."""
    counts = Counter(line.level for line in lines)
    shown = [level for level in sorted(Level, reverse=True) if counts[level] or level is Level.FINE]
    return ", ".join(f"{counts[level]} {level.name.lower()}" for level in shown)


def next_step(lines: Sequence[StatusLine]) -> str:
    """Return the one thing to do now: of the gravest line, the first; or until when nothing is to be done."""
    gravest = max((line.level for line in lines), default=Level.FINE)
    if gravest is not Level.FINE:
        waiting = [line for line in lines if line.level is gravest]
        rest = f" (and {len(waiting) - 1} more like it)" if len(waiting) > 1 else ""
        return f"{waiting[0].what}: {waiting[0].advice}{rest}"
    # A fine line with advice is a retired CA or a remark: its end is nobody's deadline.
    ends = [(line.until, line.what) for line in lines if line.until is not None and not line.advice]
    if not ends:
        return "nothing to do"
    until, what = min(ends)
    return f"nothing to do; the first to end is {what}, {moment(until)}"


def print_status(lines: Sequence[StatusLine]) -> None:
    """Print the lines under their groups, one line each, then the verdict and the next step."""
    console = Console(soft_wrap=True, highlight=False) if sys.stdout.isatty() else None
    for text in status_texts(lines, plain=not _can_print("√×█░─")):
        if console is None:
            print(text.plain.rstrip())
        else:
            console.print(text)


def status_texts(lines: Sequence[StatusLine], *, plain: bool) -> list[Text]:
    """Return what `print_status` prints, styled.

    Args:
        lines: to show.
        plain: use ASCII alone, for a terminal that knows no more.
    """
    width = min(WHAT_WIDTH_MAX, max((len(line.what) for line in lines), default=0))
    texts: list[Text] = []
    for group, members in in_groups(lines).items():
        texts += [Text(group, style="bold"), Text(("-" if plain else "─") * len(group), style="dim")]
        texts += [_line_text(line, width, plain=plain) for line in members]
        texts.append(Text())
    gravest = max((line.level for line in lines), default=Level.FINE)
    verdict = Text.assemble(
        ("status  ", "bold"), _mark(gravest, plain=plain), f" {gravest.name.lower()}: {status_counts(lines)}"
    )
    return [*texts, verdict, Text.assemble(("next    ", "bold"), printable(next_step(lines)))]


def _line_text(line: StatusLine, width: int, *, plain: bool) -> Text:
    text = Text.assemble(_mark(line.level, plain=plain), f" {printable(line.what):<{width}}")
    if line.until is not None:
        text.append(f"  until {moment(line.until)}")
    if line.left_percent is not None:
        style = _MARKS[line.level][2]
        text.append(f"  {life_bar(line.left_percent, plain=plain)}", style=style)
        text.append(f" {line.left_percent:>3} %")
    if line.advice:
        text.append(f"  {printable(line.advice)}", style="dim" if line.level is Level.FINE else "default")
    return text


def _mark(level: Level, *, plain: bool) -> tuple[str, str]:
    fancy, ascii_mark, style = _MARKS[level]
    return (ascii_mark if plain else fancy), style


def _can_print(characters: str) -> bool:
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
