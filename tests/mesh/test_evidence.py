"""Evidence of a payment through the whole stack, verified where neither the stack nor Python is."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from signing.evidence.archive import unpack
from signing.evidence.errors import EvidenceRefused
from signing.evidence.trust import TrustedKeys
from signing.evidence.verification import verify_bundle
from signing.evidence_command import script_arguments
from tests.mesh.enrolled_merchant import EnrolledMerchant

CHECKPOINT_S_MAX = 1.0  # What merchants are promised; cosigning and this host's other work come on top.
# What an arbiter's machine must have: a shell, openssl, coreutils. tar is for unpacking alone.
PROGRAMS = (
    "sh", "openssl", "basenc", "base64", "cat", "cut", "date", "head", "ls", "mkdir", "mktemp", "od", "paste",
    "printf", "rm", "sha256sum", "sort", "tail", "test", "tr", "uniq", "wc", "[", "echo",
)  # fmt: skip


def arbiters_machine(folder: Path) -> dict[str, str]:
    """An environment in which nothing can be found but these programs."""
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            (programs / name).symlink_to(found)
    return {"PATH": str(programs)}


def run_script(
    folder: Path, trust: TrustedKeys, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "verify.sh", *script_arguments(trust)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


async def test_a_bundle_from_the_running_stack_verifies_where_only_openssl_is(
    merchant: EnrolledMerchant, tmp_path: Path
) -> None:
    payment_id = await merchant.pay()
    trust = merchant.trusted_keys()
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(await merchant.evidence(payment_id))
    environment = arbiters_machine(tmp_path)
    subprocess.run(["tar", "-xzf", archive], cwd=tmp_path, check=True)  # noqa: ASYNC221 - nothing else runs
    (folder,) = tmp_path.glob("countermark-evidence-*")

    bundle = verify_bundle(unpack(archive.read_bytes()), trust)
    done = run_script(folder, trust, environment)

    assert (payment_id, merchant.merchant_id) == (bundle.subject, bundle.merchant_id)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert [str(finding) for finding in bundle.findings] == done.stdout.splitlines()
    assert any("witness" in finding.by for finding in bundle.findings if finding.proven)


async def test_no_altered_byte_of_any_file_verifies(merchant: EnrolledMerchant, tmp_path: Path) -> None:
    trust, environment = merchant.trusted_keys(), arbiters_machine(tmp_path)
    files = unpack(await merchant.evidence(await merchant.pay()))
    for name, content in files.items():
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(content)
    assert 0 == run_script(tmp_path / "bundle", trust, environment).returncode

    for name, content in files.items():
        place = len(content) // 2
        altered = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(EvidenceRefused):
            verify_bundle({**files, name: altered}, trust)
        if name == "verify.sh":
            continue  # An altered script is not run: its hash is published, and the package compares it.
        (tmp_path / "bundle" / name).write_bytes(altered)
        done = run_script(tmp_path / "bundle", trust, environment)
        (tmp_path / "bundle" / name).write_bytes(content)

        assert 1 == done.returncode, name
        assert "FAILED" in done.stdout + done.stderr, name


async def test_evidence_is_there_within_a_second_or_two(merchant: EnrolledMerchant) -> None:
    waits_s = []
    for _ in range(5):
        payment_id = await merchant.pay()
        begun = time.monotonic()
        while True:
            request = merchant.wire.sign(merchant.key, "GET", f"/v1/payments/{payment_id}/evidence")
            if (await merchant.wire.send(request)).response.status == 200:
                break
            await asyncio.sleep(0.05)
        waits_s.append(time.monotonic() - begun)

    assert 2 * CHECKPOINT_S_MAX > sorted(waits_s)[2], waits_s
