"""Attack 29: a key id that makes the verifier fetch something. Ours is 43 opaque characters, looked up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.adversary.signing import attacked_request as attack

_ROOT = Path(__file__).parents[3]
_ADDRESSES = [
    "https://mallory.example/keys/1",
    "http://169.254.169.254/latest/meta-data/",
    "http://localhost:6379/",
    "file:///etc/passwd",
    "//mallory.example/key",
    "did:web:mallory.example",
    "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    "../../../../etc/passwd",
    "x' OR '1'='1",
    "gateway:nonce:*",
    "alice\nmallory",
    "${jndi:ldap://mallory.example/a}",
]


@pytest.mark.parametrize("key_id", _ADDRESSES, ids=ascii)
def test_a_key_id_that_is_an_address_a_path_or_a_query_is_refused_before_any_look_up(key_id: str) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(keyid=f'"{key_id}"')))


@pytest.mark.parametrize("extra", [';jku="https://mallory.example"', ';x5u="https://mallory.example"'])
def test_no_parameter_names_a_place_to_fetch_keys_from(extra: str) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters() + extra))


_VERIFY_ALL = """
import sys
from tests.adversary.signing import attacked_request as attack
from signing import RequestRefused
touched = []
sys.addaudithook(lambda event, _: touched.append(event) if event.startswith("socket.") else None)
attack.accept(attack.good())
for key_id in sys.argv[1:]:
    try:
        attack.accept(attack.payment_signed_with(attack.parameters(keyid=f'"{key_id}"')))
    except RequestRefused:
        continue
print(touched)
"""


def test_verification_opens_no_socket() -> None:
    command = [sys.executable, "-c", _VERIFY_ALL, *_ADDRESSES]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
