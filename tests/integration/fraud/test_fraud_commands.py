"""Commands of compliance as processes: rules are signed and shown, and a verdict is made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from compose.derive.process_config import to_toml
from services.fraud.rule_file import sign_rules
from signing import SigningKey
from tests.integration.fraud.fraud_stack import FraudStack
from tests.integration.fraud.test_screenings import now_item
from tests.unit.services.fraud.rule_samples import AMOUNT, BURST, pack_text

KEY = SigningKey.generate("ed25519")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.fraud", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.txt").write_bytes(pack_text(AMOUNT, BURST, version=3))
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.write_bytes(KEY.to_pem())
    (tmp_path / "trust.pem").write_bytes(KEY.verifying_key.to_spki_pem())
    return tmp_path


def sign(folder: Path) -> subprocess.CompletedProcess[str]:
    return run("rules", "sign", folder / "rules.txt", "--key", folder / "key.pem", "--out", folder / "signed")


def test_signed_rules_verify_and_are_shown(folder: Path) -> None:
    signed = sign(folder)
    trust = ("--trust", folder / "trust.pem")
    verified = run("rules", "verify", folder / "signed", *trust, "--json")
    shown = run("rules", "show", folder / "signed", *trust)
    as_json = run("rules", "show", folder / "signed", *trust, "--json")

    assert (0, 0, 0) == (signed.returncode, verified.returncode, shown.returncode)
    assert ("EU", KEY.key_id) == tuple(json.loads(verified.stdout)[key] for key in ("jurisdiction", "signer"))
    assert "burst" in shown.stdout
    assert "more than 3 by one instrument in 600 s" in " ".join(shown.stdout.split())
    assert ["large", "burst"] == [rule["name"] for rule in json.loads(as_json.stdout)["pack"]["rule"]]


def test_a_key_that_others_can_read_signs_nothing(folder: Path) -> None:
    (folder / "key.pem").chmod(0o640)
    refused = sign(folder)

    assert 1 == refused.returncode
    assert "(keys-refused)" in refused.stderr
    assert "PRIVATE" not in refused.stderr
    assert not (folder / "signed").exists()


@pytest.mark.parametrize("damage", ["key", "rules", "trust", "missing"])
def test_what_cannot_be_trusted_is_refused_with_a_sentence(folder: Path, damage: str) -> None:
    sign(folder)
    if damage == "key":
        (folder / "signed").write_bytes(sign_rules(pack_text(AMOUNT), SigningKey.generate("ed25519")))
    elif damage == "rules":
        (folder / "signed").write_bytes((folder / "signed").read_bytes().replace(b"EUR", b"USD"))
    elif damage == "trust":
        (folder / "trust.pem").write_bytes(b"nothing")
    else:
        (folder / "signed").unlink()
    refused = run("rules", "verify", folder / "signed", "--trust", folder / "trust.pem")

    assert 1 == refused.returncode
    assert "" == refused.stdout
    assert "Traceback" not in refused.stderr


def test_wrong_usage_and_help_have_their_codes() -> None:
    assert 2 == run("rules", "sign").returncode
    assert 0 == run("rules", "--help").returncode
    for arguments in (("rules", "sign"), ("rules", "verify"), ("rules", "show"), ("replay",)):
        assert "Exit codes: 0" in run(*arguments, "--help").stdout


async def test_a_verdict_is_made_again_from_the_journal(stack: FraudStack) -> None:
    async with stack.running() as worker, worker.client() as client:
        await client.screen([now_item("pay_1", amount_minor=1001), now_item("pay_2", instrument="tok_bad")])
    stack.write_rules(pack_text(BURST, version=9))  # What was decided before stays as it was.
    async with stack.running():
        pass
    config = stack.folder / "fraud.toml"
    config.write_text(to_toml(msgspec.to_builtins(stack.config())))
    found = run("replay", "pay_1", "--config", config, "--json")
    told = run("replay", "pay_2", "--config", config)
    nobody = run("replay", "pay_9", "--config", config)
    malformed = run("replay", "?", "--config", config)
    facts = json.loads(found.stdout)

    assert [0, 0, 1, 2] == [ended.returncode for ended in (found, told, nobody, malformed)]
    assert {"verdict": "review", "reasons": ["large"]} == facts["stored"] == facts["replayed"]
    assert (True, 1) == (facts["same"], facts["velocity"]["instrument/any/count/600"])
    assert "test@1:" in facts["rules"]
    assert "stored     reject stolen" in told.stdout


async def test_a_journal_that_was_changed_behind_its_back_is_noticed(stack: FraudStack) -> None:
    async with stack.running() as worker, worker.client() as client:
        await client.screen([now_item("pay_1", amount_minor=1001)])
    await stack.owner.execute(
        "alter table fraud.decision disable trigger decision_append_only; "
        "update fraud.decision set verdict = 'pass', reasons = '{}'"
    )
    config = stack.folder / "fraud.toml"
    config.write_text(to_toml(msgspec.to_builtins(stack.config())))
    found = run("replay", "pay_1", "--config", config)

    assert 1 == found.returncode
    assert "NOT the same" in found.stdout
