"""What the commands print: plain lines, colour on a terminal, or one JSON document.

Colour repeats what the words say and never carries a meaning alone.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from pki.status import Level, StatusLine

if TYPE_CHECKING:
    from datetime import datetime

    from pki.authority import IssuedLeaf
    from pki.issuance import CertificatePlan

_MARKS = {Level.FINE: ("√", "green"), Level.DUE: ("!", "yellow"), Level.CRITICAL: ("×", "red")}


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


def print_status(lines: list[StatusLine]) -> None:
    """Print status lines under their groups."""
    console = Console(soft_wrap=True, highlight=False) if sys.stdout.isatty() else None
    group = ""
    for line in lines:
        if line.group != group:
            _print_line(console, Text(f"{'' if not group else chr(10)}{line.group}", style="bold"))
            group = line.group
        mark, colour = _MARKS[line.level]
        text = Text(f"  {mark} {line.what:<34}", style=colour)
        if line.until is not None:
            text.append(f"  until {moment(line.until)}  {line.left_percent:>3} % left", style="default")
        if line.advice:
            text.append(f"  {line.advice}", style="default")
        _print_line(console, text)


def _print_line(console: Console | None, text: Text) -> None:
    if console is None:
        print(text.plain.rstrip())
    else:
        console.print(text)
