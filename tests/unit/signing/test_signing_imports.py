"""What importing the package loads: who only signs pays for no client, no event loop, no socket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import signing

ROOT = Path(__file__).parents[3]
# cryptography itself loads threading.
HEAVY = (
    "aiohttp", "argparse", "asyncio", "getpass", "http.client", "httpx", "requests", "secrets", "select",
    "socket", "ssl", "urllib.request", "yarl",
)  # fmt: skip
MAKE_CLIENT = "Gateway('https://x.example', SigningKey.generate('ed25519'))"


def loaded(statement: str) -> set[str]:
    """Which of the heavy modules a statement loads in a fresh interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & set(HEAVY)


def test_importing_the_package_loads_nothing_that_does_io() -> None:
    assert set() == loaded("import signing")


def test_each_part_loads_what_it_needs_when_it_is_asked_for() -> None:
    assert "ssl" not in loaded("from signing import Gateway")
    assert {"ssl", "http.client"} <= loaded(f"from signing import Gateway, SigningKey; {MAKE_CLIENT}")
    assert not {"requests", "httpx", "http.client"} & loaded("from signing import AsyncGateway")
    assert not {"requests", "httpx", "aiohttp"} & loaded("import signing.adapters.requests_auth")


def test_names_that_are_loaded_late_are_the_same_objects_and_others_do_not_exist() -> None:
    from signing.client import Gateway  # noqa: PLC0415 - the point of this test

    assert Gateway is signing.Gateway
    with pytest.raises(AttributeError, match="no attribute 'Gatway'"):
        signing.Gatway  # noqa: B018


def test_the_exported_names_are_sorted_and_unique() -> None:
    assert sorted(set(signing.__all__)) == signing.__all__
