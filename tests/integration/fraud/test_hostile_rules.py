"""Rules that were not signed, were altered, or are old: they are not started with, and not taken."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec
import pytest

from compose.derive.process_config import to_toml
from services.fraud.errors import RulesRolledBack
from services.fraud.rule_file import sign_rules
from services.node.errors import HopUnknown
from signing import SigningKey
from tests.integration.fraud.fraud_stack import FraudStack
from tests.integration.fraud.test_screenings import now_item
from tests.unit.services.fraud.rule_samples import AMOUNT, BURST, STOLEN, pack_text


def altered(document: bytes) -> bytes:
    return document.replace(b"EUR = 1000", b"EUR = 9999")


HOSTILE = ("unsigned", "tampered", "of a stranger", "missing", "empty")


def hostile(kind: str, key: SigningKey) -> bytes | None:
    text = pack_text(AMOUNT, version=5)
    return {
        "unsigned": text,
        "tampered": altered(sign_rules(text, key)),
        "of a stranger": sign_rules(text, SigningKey.generate("ed25519")),
        "missing": None,
        "empty": b"",
    }[kind]


def put(stack: FraudStack, document: bytes | None) -> None:
    file = stack.folder / "rules.toml"
    file.unlink()
    if document is not None:
        file.write_bytes(document)


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_service_does_not_start_with_rules_that_it_cannot_trust(stack: FraudStack, kind: str) -> None:
    put(stack, hostile(kind, stack.key))
    config = stack.folder / "config.toml"
    config.write_text(to_toml(msgspec.to_builtins(stack.config())))
    done = subprocess.run(
        [sys.executable, "-m", "services.fraud", "--config", config],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert 1 == done.returncode
    assert b"payments cannot be screened" in done.stderr


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_running_service_keeps_its_rules_when_the_new_ones_cannot_be_trusted(
    stack: FraudStack, kind: str
) -> None:
    async with stack.running() as worker, worker.client() as client:
        before = worker.rules.signed.label
        put(stack, hostile(kind, stack.key))
        await worker.rules.look()
        verdict = (await client.screen([now_item("pay_1", amount_minor=1001)]))[0]

    assert ("review", before) == (verdict.verdict, verdict.rule_pack)


async def test_rules_older_than_the_last_are_refused_at_start_and_while_running(stack: FraudStack) -> None:
    old = (stack.folder / "rules.toml").read_bytes()
    stack.write_rules(pack_text(BURST, version=7))
    async with stack.running() as worker:
        put(stack, old)
        await worker.rules.look()

        assert 7 == worker.rules.signed.pack.version
    with pytest.raises(RulesRolledBack, match="version 1 is older"):
        async with stack.running():
            pass


async def test_a_version_does_not_come_with_two_contents(stack: FraudStack) -> None:
    async with stack.running():
        pass
    stack.write_rules(pack_text(STOLEN, version=1))

    with pytest.raises(RulesRolledBack, match="other contents"):
        async with stack.running():
            pass


async def test_new_rules_are_taken_without_dropping_a_request(stack: FraudStack) -> None:
    async with stack.running() as worker, worker.client() as client:
        done = asyncio.Event()

        async def ask() -> list[str]:
            verdicts: list[str] = []
            while not done.is_set() or len(verdicts) < 20:
                number = len(verdicts)
                answer = await client.screen(
                    [now_item(f"pay_{number}", amount_minor=500, instrument=f"t{number}")]
                )
                verdicts.append(f"{answer[0].rule_pack.partition(':')[0]} {answer[0].verdict}")
            return verdicts

        asking = asyncio.create_task(ask())
        for version in range(2, 8):
            stack.write_rules(pack_text(AMOUNT | {"over_minor": {"EUR": 100}}, version=version))
            await worker.rules.look()
            await asyncio.sleep(0)
        done.set()
        verdicts = await asking

    assert "test@7 review" == verdicts[-1]
    assert verdicts == sorted(verdicts)


async def test_who_has_not_read_the_newest_rules_decides_nothing(stack: FraudStack) -> None:
    async with stack.running() as behind, behind.client() as client:
        stack.write_rules(pack_text(BURST, version=2))
        async with stack.running():
            with pytest.raises(HopUnknown, match="503"):
                await client.screen([now_item("pay_1")])
            ready = behind.rules.adopted
            await behind.rules.look()

            assert (False, True) == (ready, behind.rules.adopted)

            assert "test@2" == (await client.screen([now_item("pay_1")]))[0].rule_pack.partition(":")[0]
