"""Fuzz one target in this process, until time is up or something is found. Started by `python -m tests.fuzz`.

libFuzzer ends the process itself: 0 when time is up, another code after writing what crashed it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # untyped, and absent where it has no wheel

with atheris.instrument_imports(
    include=[
        "signing",
        "gateway.api.parsing",
        "gateway.api.instrument_orders",
        "services.vault",
        "tests.fuzz",
    ]
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Take the target's name, then libFuzzer's own arguments."""
    program, name, *arguments = sys.argv
    target = TARGETS[name]

    def test_one_input(octets: bytes) -> None:
        target(octets)

    atheris.Setup([program, *arguments], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
