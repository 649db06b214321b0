"""Attack 31: nonces that can be guessed or repeat, such as one made from the time and the key."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from signing import sign_request
from tests.adversary.signing import attacked_request as attack

_ROOT = Path(__file__).parents[3]
_BITS_MIN = 128
_RUNS = 4


@pytest.mark.parametrize(
    "nonce", ["", "1", str(attack.NOW), f"{attack.NOW}-alice", "x" * 21, "x" * 65, "a b" * 10, "é" * 22]
)
def test_a_nonce_with_too_little_room_or_other_characters_is_signed_by_nobody(nonce: str) -> None:
    with attack.refused("unsignable_request"):
        sign_request(attack.unsigned(), attack.ALICE, now=attack.NOW, nonce=nonce)
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(nonce=f'"{nonce}"')))


def test_the_shortest_nonce_has_room_for_128_bits() -> None:
    shortest = 22  # characters of base64url, six bits each
    request = attack.unsigned()
    fields = sign_request(request, attack.ALICE, now=attack.NOW, nonce="x" * shortest)

    assert _BITS_MIN <= shortest * 6
    assert "x" * shortest == attack.accept(request.with_headers(fields)).nonce


def test_the_command_makes_another_nonce_and_key_each_time(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(attack.ALICE.to_pem())
    key.chmod(0o600)
    command = [
        sys.executable, "-m", "signing", "sign", "--key", str(key), "--json", "--body", "-",
        "--method", "POST", "--url", f"{attack.ORIGIN}/v1/payments",
    ]  # fmt: skip
    made: set[str] = set()
    for _ in range(_RUNS):
        done = subprocess.run(command, cwd=_ROOT, input="{}", capture_output=True, text=True, check=True)
        headers = {name.lower(): value for name, value in json.loads(done.stdout)["headers"]}
        nonce = re.search(r'nonce="([A-Za-z0-9_-]{32,})"', headers["signature-input"])
        assert nonce is not None
        made |= {nonce[1], headers["idempotency-key"].strip('"')}

    assert 2 * _RUNS == len(made)


def test_no_part_of_the_package_imports_a_random_source_that_can_be_guessed() -> None:
    guessable = {"random", "uuid", "numpy"}
    imported = {
        name.partition(".")[0]
        for file in (_ROOT / "signing").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert set() == imported & guessable
