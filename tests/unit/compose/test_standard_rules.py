"""The rules of a new cell: signed once, kept, brought up to date, and never put over somebody else's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from compose.derive.process_config import RULES_FILE, RULES_TRUST_FILE
from compose.launcher.accounts import Account
from compose.launcher.layout import Layout
from compose.launcher.release import checkout_root
from compose.launcher.standard_rules import (
    COMPLIANCE_FOLDER,
    RULES_KEY_FILE,
    STANDARD_RULES,
    provide_rules,
)
from services.fraud.rule_file import open_rules, parse_pinned_keys, sign_rules
from signing import SigningKey

ACCOUNT = Account("tests", os.geteuid(), os.getegid(), drop=False)
STANDARD = (checkout_root() / STANDARD_RULES).read_bytes()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.run.mkdir()
    made.secrets.mkdir()
    provide_rules(made, ACCOUNT)
    return made


def rules_file(layout: Layout) -> Path:
    return layout.run / "fraud" / RULES_FILE


def key_of(layout: Layout) -> SigningKey:
    return SigningKey.from_pem((layout.secrets / COMPLIANCE_FOLDER / RULES_KEY_FILE).read_bytes())


def test_the_rules_are_signed_by_the_pinned_key(layout: Layout) -> None:
    trusted = parse_pinned_keys((layout.run / "fraud" / RULES_TRUST_FILE).read_bytes())

    assert key_of(layout).key_id == open_rules(rules_file(layout).read_bytes(), trusted).signer


def test_the_key_is_for_whoever_starts_the_stack_and_no_workload(layout: Layout) -> None:
    file = layout.secrets / COMPLIANCE_FOLDER / RULES_KEY_FILE

    assert (0o600, 0o700) == (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode))


def test_another_start_changes_nothing(layout: Layout) -> None:
    files = [file for file in layout.root.rglob("*") if file.is_file()]
    before = {file: file.read_bytes() for file in files}
    provide_rules(layout, ACCOUNT)

    assert before == {file: file.read_bytes() for file in layout.root.rglob("*") if file.is_file()}


def test_newer_rules_and_those_of_another_key_stay(layout: Layout) -> None:
    newer = sign_rules(STANDARD.replace(b"version = 1\n", b"version = 99\n"), key_of(layout))
    for kept in (newer, sign_rules(STANDARD, SigningKey.generate("ed25519"))):
        rules_file(layout).write_bytes(kept)
        provide_rules(layout, ACCOUNT)

        assert kept == rules_file(layout).read_bytes()
