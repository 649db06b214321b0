"""Attack 32: verification that can be skipped, softened or forgotten (RFC 9421 §7.1.1)."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import signing
from gateway.config import GatewayConfig
from signing import SignedRequest, VerifiedReceipt, VerifiedRequest, VerifyingKey
from signing.connecting import VARIABLES
from tests.adversary.signing import attacked_request as attack

_ROOT = Path(__file__).parents[3]
_WORDS = (
    "verify",
    "strict",
    "skip",
    "insecure",
    "allow",
    "debug",
    "disable",
    "check",
    "require",
    "tolerance",
)


@pytest.mark.parametrize(
    "function", ["parse_request", "verify_request", "verify_receipt", "verify_webhook", "verify_possession"]
)
def test_no_argument_of_a_verification_is_optional_or_softens_it(function: str) -> None:
    parameters = inspect.signature(getattr(signing, function)).parameters

    assert [] == [name for name, parameter in parameters.items() if parameter.default is not parameter.empty]
    assert [] == [name for name in parameters if any(word in name for word in _WORDS)]


@pytest.mark.parametrize(
    "function", ["verify_request", "verify_receipt", "verify_webhook", "verify_possession"]
)
def test_a_verification_returns_what_was_verified_and_never_a_boolean(function: str) -> None:
    result = inspect.signature(getattr(signing, function)).return_annotation

    assert result in {"VerifiedRequest", "VerifiedReceipt", "VerifiedWebhook", "KeyRegistration"}


def test_a_key_answers_with_an_exception_and_never_with_a_boolean() -> None:
    signature = attack.accept(attack.good()).signature
    with attack.refused("signature_invalid"):
        attack.ALICE.verifying_key.verify(signature, b"something else")
    assert "None" == inspect.signature(VerifyingKey.verify).return_annotation


@pytest.mark.parametrize("kind", [SignedRequest, VerifiedRequest, VerifiedReceipt])
def test_a_verified_value_can_be_made_by_its_verification_alone(kind: type) -> None:
    fields = [field.name for field in dataclasses.fields(kind)]
    with pytest.raises(TypeError, match="made by"):
        kind(**dict.fromkeys(fields), seal=object())
    verified: Any = attack.accept(attack.good())
    with pytest.raises((TypeError, ValueError), match=r"made by|seal"):
        dataclasses.replace(verified, verified_at=0)


def test_no_configuration_of_the_gateway_concerns_verification() -> None:
    fields = {field.name for field in msgspec.structs.fields(GatewayConfig)}

    assert {"listen", "postgres", "redis", "origins", "receipt_key_file", "webhook_jwks_file"} <= fields
    assert [] == [name for name in fields if any(word in name for word in _WORDS)]


_REFUSE_ONE = """
from tests.adversary.signing import attacked_request as attack
import dataclasses
try:
    attack.accept(dataclasses.replace(attack.good(), body=b"{}"))
except Exception as refusal:
    print(refusal.code)
"""


@pytest.mark.parametrize("flags", [[], ["-O"], ["-OO"]])
def test_verification_does_not_depend_on_assertions(flags: list[str]) -> None:
    # An optimised interpreter drops every `assert`.
    command = [sys.executable, *flags, "-W", "ignore", "-c", _REFUSE_ONE]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, env=_Environment)

    assert "digest_mismatch" == done.stdout.strip()


_Environment = {**os.environ, "COUNTERMARK_VERIFY": "0", "SIGNING_DEBUG": "1", "DEBUG": "1"}


def test_no_environment_variable_is_read_but_by_two_commands() -> None:
    reading = {
        file.stem
        for file in (_ROOT / "signing").rglob("*.py")
        if "os.environ" in (text := file.read_text()) or "getenv" in text
    }

    assert {"listen_command", "trigger_command"} == reading


def test_a_shell_variable_stands_in_for_an_address_or_a_path_and_softens_nothing() -> None:
    assert {"--key", "--url", "--cafile", "--connect", "--trust"} == set(VARIABLES)
    assert [] == [name for name in VARIABLES.values() if any(word in name.lower() for word in _WORDS)]


def test_the_library_does_not_load_the_commands_that_read_shell_variables() -> None:
    script = "import sys, signing.client, signing.async_client; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert "signing.client" in loaded
    assert set() == loaded & {"signing.listen_command", "signing.trigger_command", "signing.cli"}
