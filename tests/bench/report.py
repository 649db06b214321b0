"""What a benchmark found: a table to read, figures to compute with, targets to reach."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

_TEXT_COLUMNS: Final = 2  # what was done, and by whom; figures follow
_SHORT: Final = 1000  # figures from here on need no decimals to be told apart


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be at least, or at most, so high.

    Attributes:
        figure: its name among the report's figures.
        least: the value to reach, in the figure's unit.
        at_most: whether `least` is the highest value allowed instead of the lowest.
        bound: name of a figure that this one cannot exceed, whatever we do; None if there is none known. A
            target above its bound is shown as out of reach, and cannot be missed.
    """

    figure: str
    least: float
    bound: str | None = None
    at_most: bool = False

    def reached_by(self, value: float | None) -> bool:
        """Say whether a measured value reaches it; a figure that is absent does not."""
        if value is None:
            return False
        return value <= self.least if self.at_most else value >= self.least


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
        return [
            target
            for target in self.targets
            if not target.reached_by(self._value(target)) and not self._out_of_reach(target)
        ]

    def as_json(self) -> str:
        """Return one object."""
        targets = [
            {
                "figure": target.figure,
                "most" if target.at_most else "least": target.least,
                "value": self._value(target),
                "reached": target.reached_by(self._value(target)),
                "out_of_reach": self._out_of_reach(target),
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
        width = max(len(target.figure) for target in self.targets) if self.targets else 0
        return "\n".join(
            f"{self._verdict(target):<12}  {target.figure.ljust(width)}"
            f"  {_shown_or_absent(self._value(target))}, {'at most' if target.at_most else 'at least'} "
            f"{shown(target.least)}{self._bound_as_text(target)}"
            for target in self.targets
        )

    def _verdict(self, target: Target) -> str:
        if target.reached_by(self._value(target)):
            return "reached"
        return "OUT OF REACH" if self._out_of_reach(target) else "MISSED"

    def _bound_as_text(self, target: Target) -> str:
        if target.bound is None or not self._out_of_reach(target):
            return ""
        return f"; {target.bound} is {shown(self.figures[target.bound])}"

    def _out_of_reach(self, target: Target) -> bool:
        return target.bound is not None and self.figures.get(target.bound, target.least) < target.least

    def _value(self, target: Target) -> float | None:
        return self.figures.get(target.figure)


def _shown_or_absent(value: float | None) -> str:
    return "not measured" if value is None else shown(value)


def shown(value: float) -> str:
    """Format a figure for people."""
    return f"{value:,.0f}" if value >= _SHORT else f"{value:.3f}"
