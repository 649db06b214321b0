"""What a benchmark found: a table to read, figures to compute with, targets to reach."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

_TEXT_COLUMNS: Final = 2  # what was done, and by whom; figures follow
_SHORT: Final = 1000  # figures from here on need no decimals to be told apart


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be at least so high.

    Attributes:
        figure: its name among the report's figures.
        least: the value to reach, in the figure's unit.
    """

    figure: str
    least: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one run found.

    Attributes:
        benchmark: its name.
        method: how it was measured, one sentence a line.
        columns: the table's heads.
        rows: the table's cells, formatted.
        figures: each figure by its name, unit last.
        targets: what `--check` holds the figures to.
    """

    benchmark: str
    method: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    figures: dict[str, float]
    targets: tuple[Target, ...] = field(default=())

    def missed(self) -> list[Target]:
        """Return the targets that were not reached; a figure that is absent was not."""
        return [target for target in self.targets if not self._value(target) >= target.least]

    def as_json(self) -> str:
        """Return one object."""
        targets = [
            {
                "figure": target.figure,
                "least": target.least,
                "value": self._value(target),
                "reached": self._value(target) >= target.least,
            }
            for target in self.targets
        ]
        document = {
            "benchmark": self.benchmark,
            "method": list(self.method),
            "figures": self.figures,
            "targets": targets,
        }
        return json.dumps(document, indent=2, allow_nan=False)

    def as_text(self) -> str:
        """Return how it was measured, and the table."""
        table = [self.columns, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < _TEXT_COLUMNS else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join((*self.method, "", *lines))

    def targets_as_text(self) -> str:
        """Return each target with its figure, one a line."""
        missed = self.missed()
        width = max(len(target.figure) for target in self.targets) if self.targets else 0
        return "\n".join(
            f"{'MISSED ' if target in missed else 'reached'}  {target.figure.ljust(width)}"
            f"  {shown(self._value(target))}, at least {shown(target.least)}"
            for target in self.targets
        )

    def _value(self, target: Target) -> float:
        return self.figures.get(target.figure, 0.0)


def shown(value: float) -> str:
    """Format a figure for people."""
    return f"{value:,.0f}" if value >= _SHORT else f"{value:.3f}"
