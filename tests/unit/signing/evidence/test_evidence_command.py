from __future__ import annotations

import json
from pathlib import Path

import pytest

from signing.cli import main
from signing.errors import SigningError
from signing.evidence import SCRIPT_SHA256, pack, write_trust
from signing.evidence import errors as refusals
from signing.evidence_command import read_folder
from tests.unit.signing.evidence.bundle_samples import plain_world
from tests.unit.signing.evidence.script_run import arguments, write_folder

WORLD = plain_world()
FILES, TRUST = WORLD.files(), WORLD.trust()


def run(*words: str | Path) -> int:
    return main(["evidence", *map(str, words)])


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "keys.pem"
    path.write_bytes(write_trust(TRUST))
    return path


def test_an_archive_and_its_folder_are_verified(
    tmp_path: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(pack(FILES, "countermark-evidence-pay_eu_01"))

    assert 0 == run("verify", archive, "--trust", trust)
    first = capsys.readouterr().out
    assert 0 == run("verify", write_folder(FILES, tmp_path / "folder"), "--trust", trust)
    assert first == capsys.readouterr().out
    assert 0 == run("verify", archive, "--trust", trust, "--json")
    document = json.loads(capsys.readouterr().out)
    assert "pay_eu_01" == document["subject"]
    assert len(first.splitlines()) == len(document["findings"])


def test_fingerprints_and_hash_are_what_the_script_needs(
    trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run("fingerprints", "--trust", trust)
    assert arguments(TRUST) == capsys.readouterr().out.split()
    assert 0 == run("script-hash")
    assert f"{SCRIPT_SHA256}\n" == capsys.readouterr().out


def test_keys_without_a_gateway_make_no_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys.pem").write_bytes(b"")

    assert 1 == run("fingerprints", "--trust", tmp_path / "keys.pem")
    assert "refused (evidence_trust_malformed)" in capsys.readouterr().err


def test_a_link_or_a_deeper_folder_is_refused(tmp_path: Path, trust: Path) -> None:
    linked = write_folder(FILES, tmp_path / "linked")
    (linked / "more").symlink_to(trust)
    deep = write_folder({**FILES, "a/b/c": b""}, tmp_path / "deep")
    for folder in (linked, deep):
        with pytest.raises(refusals.FilesDiffer):
            read_folder(folder)


def test_every_refusal_has_its_own_code() -> None:
    listed = [
        c for c in vars(refusals).values() if isinstance(c, type) and issubclass(c, refusals.EvidenceRefused)
    ]

    assert len(listed) == len({refusal.code for refusal in listed})
    assert all(r.code.startswith("evidence_") and issubclass(r, SigningError) for r in listed)
