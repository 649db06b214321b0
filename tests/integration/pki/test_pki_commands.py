"""The operators' commands as operators run them: a process, its exit code, what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from pki.authority import IssuingAuthority, Owner
from pki.errors import MeshFileError
from pki.mesh_file import declared_workloads

ROOT = Path(__file__).parents[3]
PASSPHRASE = b"a passphrase of the tests\n"
Make = Callable[..., IssuingAuthority]


def pki(*arguments: str | Path, passphrase: bytes | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pki", *map(str, arguments)]
    reader, writer = os.pipe()
    os.write(writer, passphrase or b"")
    os.close(writer)
    if passphrase is not None:
        command += ["--passphrase-fd", str(reader)]
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=(reader,),
            timeout=60,
        )
    finally:
        os.close(reader)


def files(certs: Path) -> set[Path]:
    return set(certs.rglob("*"))


def test_an_operator_makes_an_authority_and_issues(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    planned = pki("init", "--certs", certs, "--dry-run", "--json")
    assert not certs.exists()
    made = pki("init", "--certs", certs, "--json", passphrase=PASSPHRASE)
    issued = pki("issue", "gateway", "edge", "--certs", certs, passphrase=PASSPHRASE)
    status = pki("status", "--certs", certs)
    ledger = pki("ledger", "verify", "--certs", certs, "--json")

    assert [run.returncode for run in (planned, made, issued, status, ledger)] == [0] * 5
    roles = [[entry["role"] for entry in json.loads(run.stdout)["signed"]] for run in (planned, made)]
    assert roles == [["root", "intermediate"]] * 2
    assert issued.stdout.count("issued  spiffe://countermark.internal/") == 2
    lines = status.stdout.splitlines()
    underlined = [line for line, below in pairwise(lines) if below.strip("─") == "" != below]
    assert underlined == ["authority", "revocation lists", "ledger", "workloads"]
    assert lines[-2] == "status  √ fine: 7 fine"
    assert "\x1b" not in status.stdout
    assert (json.loads(ledger.stdout)["verified"], json.loads(ledger.stdout)["lines"]) == (True, 12)


def test_a_dry_run_changes_nothing_and_asks_for_nothing(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs)
    before = files(certs)
    planned = pki("issue", "gateway", "--certs", certs, "--dry-run")

    assert (0, before) == (planned.returncode, files(certs))
    assert "would sign  leaf          spiffe://countermark.internal/gateway  until " in planned.stdout


def test_when_nothing_is_due_no_passphrase_is_asked_for(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    done = pki("issue", "--due", "gateway", "--certs", certs)

    assert (done.returncode, done.stdout) == (0, "nothing was due\n")


def test_a_mesh_file_names_the_workloads(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs)
    mesh = tmp_path / "mesh.toml"
    mesh.write_text("[service.gateway]\nsidecar = true\n[service.postgres]\n")
    ours = ROOT / "compose/mesh.toml"
    planned = pki("issue", "--mesh", ours, "--certs", certs, "--dry-run", "--json")

    assert declared_workloads(mesh) == ["gateway", "gateway-sidecar", "postgres"]
    assert len(json.loads(planned.stdout)["signed"]) == len(declared_workloads(ours))


def test_a_mesh_that_the_policy_does_not_fit_gets_nothing(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs)
    mesh = tmp_path / "mesh.toml"
    mesh.write_text('trust_domain = "countermark.internal"\n[service.stranger]\nkind = "role"\n')
    refused = pki("issue", "--mesh", mesh, "--certs", certs, passphrase=PASSPHRASE)
    unlisted = pki("issue", "stranger", "--certs", certs, passphrase=PASSPHRASE)

    assert (refused.returncode, unlisted.returncode) == (1, 1)
    assert "stranger" in refused.stderr
    assert "lists no workload" in unlisted.stderr
    assert not (certs / "live").exists()


@pytest.mark.parametrize("text", ["", "service = 1", "[service]", "[service", "[other.gateway]"])
def test_a_mesh_file_that_declares_nothing_is_refused(tmp_path: Path, text: str) -> None:
    mesh = tmp_path / "mesh.toml"
    mesh.write_text(text)

    with pytest.raises(MeshFileError):
        declared_workloads(mesh)


def test_a_renewal_by_hand_keeps_who_can_read_the_key(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    authority = make_authority(certs, "edge")
    owner = Owner(54321, 54322) if os.geteuid() == 0 else Owner(os.geteuid(), os.getegid())
    authority.issue(["gateway"], owners={"gateway": owner}, now=datetime.now(UTC))
    key = certs / "live/gateway/current/key.pem"
    before = key.stat()
    renewed = pki("issue", "gateway", "edge", "--certs", certs, passphrase=PASSPHRASE)
    after = key.stat()

    assert renewed.returncode == 0
    assert before.st_ino != after.st_ino
    assert (before.st_uid, before.st_gid, before.st_mode) == (after.st_uid, after.st_gid, after.st_mode)


def test_a_refusal_is_one_sentence_with_its_code(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    runs = {
        "[not-initialised]": pki("status", "--certs", tmp_path / "nowhere"),
        "[already-initialised]": pki("init", "--certs", certs, passphrase=PASSPHRASE),
        "[identity]": pki("issue", "Gateway", "--certs", certs),
        "[seal]": pki("issue", "edge", "--certs", certs, passphrase=b"another passphrase"),
    }

    for code, run in runs.items():
        assert (run.returncode, run.stderr.count("\n"), run.stdout) == (1, 1, "")
        assert code in run.stderr


@pytest.mark.parametrize(
    "arguments", [["issue"], ["issue", "gateway", "--passphrase-fd", "99"], ["issue", "gateway"], ["no-such"]]
)
def test_a_wrong_use_exits_with_two(tmp_path: Path, make_authority: Make, arguments: list[str]) -> None:
    certs = tmp_path / "certs"
    make_authority(certs)
    options = [] if arguments == ["no-such"] else ["--certs", str(certs)]

    assert pki(*arguments, *options).returncode == 2


def test_status_exits_with_four_when_something_is_broken(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    (certs / "live/gateway/current/trust.pem").write_text("")
    status = pki("status", "--certs", certs, "--json")

    assert status.returncode == 4
    assert json.loads(status.stdout)["level"] == "critical"


def test_ledger_verify_exits_with_four_when_a_line_is_gone(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    lines = (certs / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (certs / "ledger.jsonl").write_bytes(b"".join(lines[1:]))
    found = pki("ledger", "verify", "--certs", certs)

    assert (found.returncode, found.stdout) == (4, "")
    assert "does not verify: line 1" in found.stderr


def test_an_exposed_key_stops_the_commands(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    (certs / "live/gateway/current/key.pem").chmod(0o644)

    for arguments in (["status"], ["issue", "gateway"]):
        run = pki(*arguments, "--certs", certs)
        assert (run.returncode, "[secret-exposed]" in run.stderr) == (1, True)


def test_dry_runs_of_lists_and_revocations_say_what_the_run_would(
    tmp_path: Path, make_authority: Make
) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "edge")
    before = files(certs)
    lists = pki("crl", "--due", "--certs", certs, "--dry-run")
    unknown = pki("revoke", "5eed", "--reason", "superseded", "--certs", certs, "--dry-run")
    known = pki("revoke", "edge", "--reason", "superseded", "--certs", certs, "--dry-run")

    assert (0, "no list was due\n") == (lists.returncode, lists.stdout)
    assert 1 == unknown.returncode
    assert "5eed is not the serial number of a leaf on the record" in unknown.stderr
    assert (0, True) == (known.returncode, "edge would get a new leaf" in known.stdout), known.stderr
    assert before == files(certs)
