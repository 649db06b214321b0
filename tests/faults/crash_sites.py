"""Every crash point of the product, collected from the code that reaches it: there is no second list."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compose.launcher.release import checkout_root

PACKAGES: Final = ("gateway", "services")
# Reached only when the process is asked to stop, not by the load.
WHEN_STOPPED: Final = ("payments.draining",)


@dataclass(frozen=True, slots=True)
class CrashSite:
    """One call of `reach`.

    Attributes:
        name: `<process>.<what has just happened>`; empty if the call does not say it as a plain text.
        place: file and line, below the checkout.
    """

    name: str
    place: str

    @property
    def process(self) -> str:
        """The name of the process that can die here, as in mesh.toml."""
        return self.name.partition(".")[0]


def crash_sites() -> list[CrashSite]:
    """All of them, by name."""
    root = checkout_root()
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))
    sites = [site for file in files for site in _sites_of(file, str(file.relative_to(root)))]
    return sorted(sites, key=lambda site: site.name)


def _sites_of(file: Path, shown: str) -> list[CrashSite]:
    if file.name == "crash_points.py":
        return []
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "reach"
    ]
    return [CrashSite(_name(call), f"{shown}:{call.lineno}") for call in calls]


def _name(call: ast.Call) -> str:
    match call.args:
        case [ast.Constant(value=str(name))] if not call.keywords:
            return name
        case _:
            return ""
