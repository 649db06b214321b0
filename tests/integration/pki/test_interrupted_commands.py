"""Commands that a full disk, a signal or another operator stops: said in one sentence, and gone on with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pki.certificate_files import CertificateTree
from pki.inventory import read_leaves, require_state
from tests.integration.pki.commanding import (
    OFFLINE,
    Make,
    begin,
    end,
    fingerprint,
    pki,
    read_until,
    signatures,
)

ROTATE_ROOT = ("rotate", "root", *OFFLINE)
# What an operator waits at most to hear that somebody else is at work.
TOLD_S_MAX = 10.0
# A whole tree with two leaves is a few dozen blocks; this leaves room to fill.
DISK_BYTES = 1024 * 1024
# Commands are tried with this many blocks more each time, until one gets through.
BLOCKS_STEP = 6
BLOCKS_MAX = 100
BLOCK_BYTES = 4096


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine mounts nothing for its root")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path, blocks_left: int) -> Path:
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail
    ballast.write_bytes(bytes(BLOCK_BYTES * (free - blocks_left)))
    assert blocks_left == os.statvfs(disk).f_bavail
    return ballast


def asides(certs: Path) -> list[Path]:
    return list(certs.rglob(".aside*"))


def assert_whole(certs: Path) -> None:
    """Whatever counts is complete: the state, the chain of lines, and each generation that is in use."""
    tree = CertificateTree(certs)
    state = require_state(tree)
    verified = pki("ledger", "verify", "--certs", certs, passphrase=None)
    assert 0 == verified.returncode, verified.stderr
    assert all(tree.has_key(authority) and tree.read_list(authority) for authority in state.listed)
    for name in tree.live_names():
        found = tree.read_current(name)
        assert found is not None
        assert all((found[1].chain, found[1].key, found[1].trust, found[1].crl))


def assert_told_of_the_disk(refused: subprocess.CompletedProcess[str], certs: Path, why: str) -> None:
    sentence = refused.stderr.splitlines()[-1]
    assert (1, "") == (refused.returncode, refused.stdout)
    assert sentence.startswith(f"Error: the disk is full: {certs}")
    assert f"{why}; make room, then run the same command again" in sentence
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", [("issue", "gateway", "edge"), ROTATE_ROOT], ids=["issue", "rotate root"])
def test_a_full_disk_is_named_and_with_space_the_command_ends_well(
    small_disk: Path, make_authority: Make, command: tuple[str, ...]
) -> None:
    certs = small_disk / "certs"
    make_authority(certs, "gateway", "edge")
    left_standing = []

    for blocks in range(0, BLOCKS_MAX, BLOCKS_STEP):
        ballast = fill(small_disk, blocks)
        tried = pki(*command, "--certs", certs)
        if tried.returncode == 0:
            ballast.unlink()
            break
        assert_told_of_the_disk(tried, certs, "No space left on device")
        assert_whole(certs)
        ballast.unlink()
        rotation = require_state(CertificateTree(certs)).rotation
        left_standing.append(rotation is not None)
        again = pki(*command, *(["--resume"] if rotation else []), "--certs", certs)
        status = pki("status", "--certs", certs, passphrase=None)
        assert (0, 0) == (again.returncode, status.returncode), again.stderr + status.stdout
        assert [] == asides(certs)
    else:
        pytest.fail("no room was enough")

    assert {False, command == ROTATE_ROOT} == set(left_standing), "stopped early and stopped on the way"
    assert 0 == pki("status", "--certs", certs, passphrase=None).returncode


@pytest.mark.parametrize("command", [("issue", "gateway", "edge"), ROTATE_ROOT], ids=["issue", "rotate root"])
def test_a_limit_on_files_is_told_as_a_full_disk(
    tmp_path: Path, make_authority: Make, command: tuple[str, ...]
) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway", "edge")
    signed, before = signatures(certs), fingerprint(certs / "live")
    # Two blocks are less than the ledger has already, and more than the name in the lock's file.
    limited = ("sh", "-c", 'ulimit -f 2; exec "$@"', "sh")
    refused = pki(*command, "--certs", certs, before=limited)

    assert_told_of_the_disk(refused, certs, "File too large")
    assert (signed, before) == (signatures(certs), fingerprint(certs / "live"))
    assert_whole(certs)
    assert 0 == pki(*command, "--certs", certs).returncode
    assert 0 == pki("status", "--certs", certs, passphrase=None).returncode


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["trust-both", "issue-new"])
def test_a_rotation_that_a_signal_ended_is_shown_and_resumed(
    tmp_path: Path, make_authority: Make, how: signal.Signals, stage: str
) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway", "edge")
    first = begin(*ROTATE_ROOT, "--certs", certs)
    # Stopped at once: what is left takes the time of opening a sealed key, and so cannot have ended.
    read_until(first, stage)
    first.send_signal(signal.SIGSTOP)
    first.send_signal(how)
    first.send_signal(signal.SIGCONT)
    ended = end(first)
    status = pki("status", "--certs", certs, "--json", passphrase=None)
    shown = [line for line in json.loads(status.stdout)["lines"] if line["group"] == "rotation"]
    resumed = pki(*ROTATE_ROOT, "--resume", "--certs", certs)
    after = pki("status", "--certs", certs, passphrase=None)

    assert 0 != ended.returncode
    assert 1 == len(shown)
    assert "`python -m pki rotate root --resume`" in shown[0]["advice"]
    assert (0, 0) == (resumed.returncode, after.returncode), resumed.stderr + after.stdout


def test_whoever_comes_second_is_told_who_is_at_work(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    tree = CertificateTree(certs)

    with tree.lock("a rotation by the day's operator"):
        before = fingerprint(certs)
        for command in (("issue", "gateway"), ROTATE_ROOT):
            began = time.monotonic()
            refused = pki(*command, "--certs", certs)
            assert TOLD_S_MAX > time.monotonic() - began
            assert (1, "") == (refused.returncode, refused.stdout)
            assert refused.stderr == (
                f"Error: a rotation by the day's operator (process {os.getpid()}) is at work in {certs}: "
                "wait until it ends, then run this again [busy]\n"
            )
        assert before == fingerprint(certs)
        assert () == read_leaves(tree, ["gateway"], None)[0].faults
    assert 0 == pki("issue", "gateway", "--certs", certs).returncode


def test_the_first_of_two_operators_goes_on_and_ends_well(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway", "edge")
    first = begin(*ROTATE_ROOT, "--certs", certs)
    read_until(first, "trust-both")
    first.send_signal(signal.SIGSTOP)  # a rotation that takes as long as the second can wait
    try:
        began = time.monotonic()
        second = pki("issue", "gateway", "--certs", certs)
        told_s = time.monotonic() - began
    finally:
        first.send_signal(signal.SIGCONT)
    ended = end(first)
    status = pki("status", "--certs", certs, passphrase=None)
    later = pki("issue", "gateway", "--certs", certs)

    assert (1, "", 1) == (second.returncode, second.stdout, second.stderr.count("\n"))
    assert re.match(rf"Error: rotate root .*\(process {first.pid}\) is at work in ", second.stderr)
    assert TOLD_S_MAX > told_s
    assert (0, 0, 0) == (ended.returncode, status.returncode, later.returncode), ended.stderr
