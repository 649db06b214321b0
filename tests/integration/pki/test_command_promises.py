"""What the commands' help promises: reasons on the record, exit codes, dry runs, one JSON document."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pki.certificate_files import CertificateTree
from pki.inventory import require_state
from tests.integration.pki.commanding import (
    OFFLINE,
    PASSPHRASE,
    Make,
    fingerprint,
    leave_standing,
    make_older,
    pki,
)

_LOOKING = {
    "renew": ("renew", "gateway"),
    "rotate leaf": ("rotate", "leaf"),
    "rotate intermediate": ("rotate", "intermediate"),
    "rotate root": ("rotate", "root"),
    "revoke": ("revoke", "gateway", "--reason", "superseded"),
    "crl": ("crl",),
}
_PLANNED = {
    "issue": ("issue", "gateway", "edge"),
    "issue --due": ("issue", "--due", "gateway"),
    "renew --due": ("renew", "--due"),
    "crl --root": ("crl", "--root"),
    "crl --due": ("crl", "--due"),
    **_LOOKING,
}


@pytest.fixture
def certs(tmp_path: Path, make_authority: Make) -> Path:
    folder = tmp_path / "certs"
    make_authority(folder, "gateway", "edge")
    return folder


def lines_of(certs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (certs / "ledger.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("command", _LOOKING.values(), ids=_LOOKING)
def test_the_reasons_of_offline_and_skip_are_on_the_ledger_before_any_signature(
    certs: Path, command: tuple[str, ...]
) -> None:
    before = len(lines_of(certs))
    done = pki(
        *command, "--certs", certs, "--offline", "moved to the new hall, ticket 81",
        "--skip", "edge=its disk is being replaced",
    )  # fmt: skip
    added = lines_of(certs)[before:]
    verified = pki("ledger", "verify", "--certs", certs, passphrase=None)

    assert (0, 0) == (done.returncode, verified.returncode), done.stderr
    offline, skipped, *others = added
    assert ("consumers-not-looked-at", "moved to the new hall, ticket 81") == (
        offline["event"],
        offline["reason"],
    )
    assert ("consumer-skipped", "edge", "its disk is being replaced") == (
        skipped["event"],
        skipped["workload"],
        skipped["reason"],
    )
    assert " ".join(command) == offline["command"][: len(" ".join(command))]
    assert "issued" in {line["event"] for line in others}


def test_a_command_that_looks_at_nobody_needs_a_reason(certs: Path) -> None:
    before = fingerprint(certs)
    for command in _LOOKING.values():
        refused = pki(*command, "--certs", certs)
        assert (2, "") == (refused.returncode, refused.stdout)
        assert "or with --offline why nobody looks at them" in " ".join(refused.stderr.split())
    assert before == fingerprint(certs)


@pytest.mark.parametrize(
    ("leaf_age", "code", "level"),
    [
        (timedelta(days=1), 0, "fine"),
        (timedelta(days=4), 3, "due"),
        (timedelta(days=6), 4, "critical"),
        (timedelta(days=8), 4, "critical"),
    ],
    ids=["young", "past half of its life", "in its last sixth", "expired"],
)
def test_the_exit_code_of_status_is_the_worst_verdict(
    tmp_path: Path, leaf_age: timedelta, code: int, level: str
) -> None:
    certs = tmp_path / "certs"
    make_older(certs, leaf_age)
    before = fingerprint(certs)
    status = pki("status", "--certs", certs, passphrase=None)
    as_json = pki("status", "--certs", certs, "--json", passphrase=None)

    assert (code, code) == (status.returncode, as_json.returncode), status.stdout
    assert level == json.loads(as_json.stdout)["level"]
    assert [level] == [
        line["level"] for line in json.loads(as_json.stdout)["lines"] if line["group"] == "workloads"
    ]
    assert before == fingerprint(certs)


def test_a_rotation_under_way_is_finished_or_taken_back_before_the_next(certs: Path) -> None:
    leave_standing(certs, "intermediate", "issue-new")
    before = fingerprint(certs)
    for kind in ("leaf", "intermediate", "root"):
        for options in ((), ("--dry-run",)):
            refused = pki("rotate", kind, *OFFLINE, *options, "--certs", certs)
            assert (1, "") == (refused.returncode, refused.stdout)
            assert "an intermediate rotation is under way at stage issue-new" in refused.stderr
            assert (
                "`python -m pki rotate intermediate --resume`, or go back with --rollback" in refused.stderr
            )
    of_another_kind = pki("rotate", "root", "--resume", *OFFLINE, "--certs", certs)

    assert 1 == of_another_kind.returncode
    assert "a rotation of kind intermediate is" in of_another_kind.stderr
    assert before == fingerprint(certs)


@pytest.mark.parametrize("way", ["--resume", "--rollback"])
def test_without_a_rotation_there_is_nothing_to_resume_or_take_back(certs: Path, way: str) -> None:
    before = fingerprint(certs)
    refused = pki("rotate", "root", way, *OFFLINE, "--certs", certs)
    both = pki("rotate", "root", "--resume", "--rollback", *OFFLINE, "--certs", certs)

    assert (1, "", 2) == (refused.returncode, refused.stdout, both.returncode)
    assert "no root rotation is under way, none is: see `python -m pki status` [rotation]" in refused.stderr
    assert before == fingerprint(certs)


@pytest.mark.parametrize("kind", ["intermediate", "root"])
def test_there_is_no_way_back_once_the_old_is_not_trusted(certs: Path, kind: str) -> None:
    rotation = leave_standing(certs, kind, "trust-new")
    before = fingerprint(certs)
    refused = pki("rotate", kind, "--rollback", *OFFLINE, "--certs", certs)
    unchanged = fingerprint(certs)
    resumed = pki("rotate", kind, "--resume", *OFFLINE, "--certs", certs)
    state = require_state(CertificateTree(certs))

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "cannot go back from stage trust-new: finish it with --resume, then rotate again" in refused.stderr
    assert before == unchanged
    assert (0, None) == (resumed.returncode, state.rotation)
    assert (rotation.new_issuer, (rotation.new_root,)) == (state.issuer, state.trust)


@pytest.mark.parametrize("stage", ["trust-both", "drain"])
def test_before_that_a_rotation_goes_back_to_what_was(certs: Path, stage: str) -> None:
    before = require_state(CertificateTree(certs))
    leave_standing(certs, "root", stage)
    back = pki("rotate", "root", "--rollback", *OFFLINE, "--certs", certs)
    status = pki("status", "--certs", certs, passphrase=None)

    assert (0, 0) == (back.returncode, status.returncode), back.stderr + status.stdout
    assert back.stdout.startswith("the root rotation went back: ")
    assert before == require_state(CertificateTree(certs))


@pytest.mark.parametrize("command", _PLANNED.values(), ids=_PLANNED)
def test_a_dry_run_changes_no_byte_and_asks_for_nothing(certs: Path, command: tuple[str, ...]) -> None:
    before = fingerprint(certs)
    for options in ((), ("--json",)):
        planned = pki(*command, "--dry-run", *options, "--certs", certs, passphrase=None)
        assert (0, "") == (planned.returncode, planned.stderr)
    assert json.loads(planned.stdout)["dry_run"] is True
    assert before == fingerprint(certs)


def test_a_dry_run_of_what_is_due_names_only_that(certs: Path) -> None:
    planned = [
        pki(*command, "--dry-run", "--json", "--certs", certs, passphrase=None)
        for command in (("issue", "--due", "gateway"), ("renew", "--due"), ("crl", "--due"))
    ]

    assert [[]] * 3 == [json.loads(plan.stdout)["signed"] for plan in planned]


@pytest.mark.parametrize("way", ["--resume", "--rollback"])
def test_a_dry_run_of_going_on_or_back_changes_no_byte(certs: Path, way: str) -> None:
    leave_standing(certs, "root", "drain")
    before = fingerprint(certs)
    planned = pki("rotate", "root", way, "--dry-run", "--json", "--certs", certs, passphrase=None)
    stages = [stage["stage"] for stage in json.loads(planned.stdout)["stages"]]

    assert 0 == planned.returncode
    assert {
        "--resume": ["drain", "trust-new", "retire"],
        "--rollback": ["issue-old", "drain-back", "trust-old", "discard"],
    }[way] == stages
    assert before == fingerprint(certs)


def test_a_dry_run_of_making_an_authority_makes_nothing(tmp_path: Path) -> None:
    planned = pki("init", "--certs", tmp_path / "certs", "--dry-run", "--json", passphrase=None)

    assert (0, True) == (planned.returncode, json.loads(planned.stdout)["dry_run"])
    assert {} == fingerprint(tmp_path)


@pytest.mark.parametrize("command", ["status", "inventory", "ledger verify"])
def test_who_only_reads_changes_no_byte_and_prints_one_document(certs: Path, command: str) -> None:
    before = fingerprint(certs)
    for options in ((), ("--json",)):
        read = pki(*command.split(), *options, "--certs", certs, passphrase=None)
        assert 0 == read.returncode, read.stdout
    assert isinstance(json.loads(read.stdout), dict)
    assert before == fingerprint(certs)


@pytest.mark.parametrize("command", _LOOKING.values(), ids=_LOOKING)
def test_standard_output_of_what_changes_the_mesh_is_one_document(
    certs: Path, command: tuple[str, ...]
) -> None:
    done = pki(*command, *OFFLINE, "--json", "--certs", certs)

    assert (0, "") == (done.returncode, done.stderr)
    assert json.loads(done.stdout)["dry_run"] is False


def test_standard_output_of_an_authority_s_life_is_one_document_each(tmp_path: Path) -> None:
    certs, elsewhere, backup = tmp_path / "certs", tmp_path / "elsewhere", tmp_path / "backup"
    runs = [
        pki("init", "--certs", certs, "--json"),
        pki("issue", "gateway", "--certs", certs, "--json"),
        pki("backup", backup, "--certs", certs, "--json", passphrase=b"another for the backup"),
        pki("restore", backup, "--certs", elsewhere, "--no-lists", "--json",
            passphrase=b"another for the backup"),
    ]  # fmt: skip

    assert [0] * 4 == [run.returncode for run in runs], [run.stderr for run in runs]
    assert all(isinstance(json.loads(run.stdout), dict) for run in runs)
    assert not any(PASSPHRASE.decode() in run.stdout + run.stderr for run in runs)


def test_a_refusal_leaves_standard_output_empty_also_with_json(certs: Path) -> None:
    refused = pki("revoke", "deadbeef", "--reason", "superseded", *OFFLINE, "--json", "--certs", certs)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "deadbeef is not the serial number of a leaf on the record" in refused.stderr
