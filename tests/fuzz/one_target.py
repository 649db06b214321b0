"""Fuzz one target in this process, until time is up or something is found. Started by `python -m tests.fuzz`.

libFuzzer ends the process itself: 0 when time is up, another code after writing what crashed it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # untyped, and absent where it has no wheel

OURS = [
    "signing", "gateway.api.parsing", "gateway.api.instrument_orders", "services.banks", "services.fraud",
    "services.vault", "tests.fuzz",
]  # fmt: skip

with atheris.instrument_imports(include=OURS):
    from tests.fuzz.json_mutation import mutated
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Take the target's name, then libFuzzer's own arguments."""
    program, name, *arguments = sys.argv
    target = TARGETS[name]

    def test_one_input(octets: bytes) -> None:
        target(octets)

    def mutate(octets: bytes, size_max: int, seed: int) -> bytes:
        changed = mutated(octets, seed) if seed % 2 else None
        if changed is None or len(changed) > size_max:
            found: bytes = atheris.Mutate(octets, size_max)
            return found
        return changed

    atheris.Setup([program, *arguments], test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
