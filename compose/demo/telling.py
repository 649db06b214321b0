"""What the demonstration's merchant says: a JSON object a line for each step that held, or why not."""

from __future__ import annotations

import json


class StepFailed(Exception):
    """Something that the gateway promises did not hold."""


def tell(step: str, **facts: object) -> None:
    """Print one step that held."""
    print(json.dumps({"step": step, **facts}), flush=True)
