"""What an operator gets who gives a command something wrong: one answer that helps, and nothing changed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pki.certificate_files import CertificateTree
from pki.recorded_signing import RecordedSigning
from tests.integration.pki.commanding import OFFLINE, PASSPHRASE, ROOT, Make, fingerprint, pki, signatures

_CHANGING = {
    "issue": ("issue", "gateway"),
    "renew": ("renew", "gateway", *OFFLINE),
    "rotate leaf": ("rotate", "leaf", *OFFLINE),
    "rotate intermediate": ("rotate", "intermediate", *OFFLINE),
    "rotate root": ("rotate", "root", *OFFLINE),
    "revoke": ("revoke", "gateway", "--reason", "superseded", *OFFLINE),
    "crl": ("crl", *OFFLINE),
    "crl --root": ("crl", "--root", *OFFLINE),
}
_READING = {"status": ("status",), "inventory": ("inventory",), "verify": ("ledger", "verify")}
changing = pytest.mark.parametrize("arguments", _CHANGING.values(), ids=_CHANGING)


def without_lock(found: dict[str, str]) -> dict[str, str]:
    """A command that waits for its turn leaves its name in the lock's file, and nothing anywhere else."""
    return {path: what for path, what in found.items() if path != ".lock"}


@pytest.fixture
def certs(tmp_path: Path, make_authority: Make) -> Path:
    folder = tmp_path / "certs"
    make_authority(folder, "gateway", "edge")
    return folder


def test_a_broken_policy_lists_every_fault_with_its_line(certs: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    text = (ROOT / "certs/policy.toml").read_text().split("\n")
    edge = text.index("[workload.edge]")
    text[edge + 1] = 'spiffe_id = "spiffe://countermark.internal/somebody-else"'
    gateway = text.index("[workload.gateway]")
    accounts = [number for number, line in enumerate(text) if line.startswith("account =")]
    account = min(number for number in accounts if number > gateway)
    text[account] = "account = 7"
    text.append("[workload.Loud]")
    policy.write_text("\n".join(text))
    before = fingerprint(certs)
    refused = pki("issue", "gateway", "--certs", certs, "--policy", policy)
    lines = refused.stderr.split("\n")

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "3 faults, so nothing is issued:" in lines[0]
    for number, reason in (
        (edge + 2, "spiffe_id must be"),
        (account + 1, "must be a text"),
        (len(text), "Loud"),
    ):
        assert [True] == [reason in line for line in lines if f"{policy}:{number}: " in line], refused.stderr
    assert before == fingerprint(certs)


@changing
def test_a_wrong_passphrase_changes_nothing(certs: Path, arguments: tuple[str, ...]) -> None:
    before = fingerprint(certs)
    refused = pki(*arguments, "--certs", certs, passphrase=b"not the one of this authority")

    assert (1, "", 1) == (refused.returncode, refused.stdout, refused.stderr.count("\n"))
    assert refused.stderr.endswith("[seal]\n")
    assert b"not the one" not in refused.stderr.encode()
    assert without_lock(before) == without_lock(fingerprint(certs))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "is damaged: restore it from a backup [tree]"),
        (lambda _: b"", "is damaged: restore it from a backup [tree]"),
        (lambda _: b'{"servers": ["a"], "version": 2}', "is damaged: restore it from a backup [tree]"),
        (lambda _: b'{"version": 99}', "is of version 99; this code knows 1 to 2 [tree]"),
        (lambda whole: whole.replace(b"countermark.internal", b"another.example"), "[policy]"),
    ],
    ids=["truncated", "empty", "foreign", "of the future", "another trust domain"],
)
def test_a_state_that_is_not_ours_is_not_built_upon(
    certs: Path, make: Callable[[bytes], bytes], reason: str
) -> None:
    state = certs / "state.json"
    state.write_bytes(make(state.read_bytes()))
    before = fingerprint(certs)

    for command in ("issue", "rotate root"):
        refused = pki(*_CHANGING[command], "--certs", certs)
        assert (1, "") == (refused.returncode, refused.stdout)
        assert reason in refused.stderr
        assert "Traceback" not in refused.stderr
    assert without_lock(before) == without_lock(fingerprint(certs))


@pytest.mark.parametrize("arguments", (_READING | _CHANGING).values(), ids=_READING | _CHANGING)
def test_a_truncated_state_stops_every_command(certs: Path, arguments: tuple[str, ...]) -> None:
    state = certs / "state.json"
    state.write_bytes(state.read_bytes()[:40])
    refused = pki(
        *arguments, "--certs", certs, passphrase=None if arguments in _READING.values() else PASSPHRASE
    )

    assert (1, "") == (refused.returncode, refused.stdout)
    assert f"{state} is damaged: restore it from a backup [tree]\n" in refused.stderr


@changing
def test_a_ledger_without_its_first_lines_stops_every_command(
    certs: Path, arguments: tuple[str, ...]
) -> None:
    ledger = certs / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[2:]))
    before = fingerprint(certs)
    refused = pki(*arguments, "--certs", certs)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert refused.stderr.endswith("[ledger]\n")
    assert without_lock(before) == without_lock(fingerprint(certs))


def test_a_line_torn_by_a_crash_is_cut_off_on_the_record(certs: Path) -> None:
    ledger = certs / "ledger.jsonl"
    with ledger.open("ab") as file:
        file.write(b'{"actor":"uid 0","comm')
    torn = pki("ledger", "verify", "--certs", certs, passphrase=None)
    issued = pki("issue", "gateway", "--certs", certs)
    whole = pki("ledger", "verify", "--certs", certs, passphrase=None)

    assert (0, 0, 0) == (torn.returncode, issued.returncode, whole.returncode)
    assert "22 bytes after the last line are the torn end of a crashed write" in torn.stdout
    assert 1 == ledger.read_text().count('"event":"tail-discarded"')
    assert "torn" not in whole.stdout


def test_lines_cut_off_the_end_show_as_a_leaf_off_the_record(certs: Path) -> None:
    ledger = certs / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    status = pki("status", "--certs", certs, passphrase=None)

    assert 4 == status.returncode
    assert "its serial number is not in the ledger" in " ".join(status.stdout.split())


@changing
def test_a_clock_an_hour_behind_the_ledger_signs_nothing(certs: Path, arguments: tuple[str, ...]) -> None:
    tree = CertificateTree(certs)
    with tree.lock():
        RecordedSigning(tree, datetime.now(UTC) + timedelta(hours=1)).record("note", {"of": "another clock"})
    before = fingerprint(certs)
    signed = signatures(certs)
    refused = pki(*arguments, "--certs", certs)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "set the clock right, then run this again [clock]\n" in refused.stderr
    assert signed == signatures(certs)
    assert without_lock(before) == without_lock(fingerprint(certs))


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        *((command, "state.json") for command in _CHANGING),
        ("issue", "ledger.jsonl"),
        ("renew", "live/gateway/current/key.pem"),
    ],
)
def test_a_secret_that_others_can_read_stops_every_command(certs: Path, command: str, secret: str) -> None:
    (certs / secret).chmod(0o644)
    before = fingerprint(certs)
    refused = pki(*_CHANGING[command], "--certs", certs)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "has mode 0644: make it private with chmod, then renew it [secret-exposed]\n" in refused.stderr
    assert without_lock(before) == without_lock(fingerprint(certs))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("command", ["issue", "rotate root", "crl"])
def test_a_secret_that_git_tracks_stops_a_command(certs: Path, command: str) -> None:
    for words in (["init", "-q"], ["add", "-f", "certs/state.json"]):
        subprocess.run(["git", "-C", certs.parent, *words], check=True, capture_output=True)
    before = fingerprint(certs)
    refused = pki(*_CHANGING[command], "--certs", certs)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "state.json is tracked by git: remove it from every commit" in refused.stderr
    assert refused.stderr.endswith("[secret-exposed]\n")
    assert without_lock(before) == without_lock(fingerprint(certs))
