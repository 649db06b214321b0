"""Runs `python -m pki` as a process of its own, and tells whether a byte of a folder changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pki.authority import IssuingAuthority, initialise, renew_lists
from pki.authority_state import Rotation
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.inventory import require_state
from pki.issuing import refresh_bundles
from pki.recorded_signing import attribution
from pki.rotation.engine import RotationSetting, Rotator
from pki.rotation.offline_fleet import OfflineFleet
from pki.seal import ScryptCost

ROOT = Path(__file__).parents[3]
DOMAIN = "countermark.internal"
PASSPHRASE = b"a passphrase of the tests"
OFFLINE = ("--offline", "the mesh of this test is not running")
KEEPER = PassphraseKeeper(PASSPHRASE, ScryptCost(n=2**14))
RUN_S_MAX = 60
Make = Callable[..., IssuingAuthority]


class Stopped(Exception):
    """Raised where a rotation is to be left standing."""


def begin(
    *arguments: str | Path,
    passphrase: bytes | None = PASSPHRASE,
    secrets: Mapping[str, bytes] | None = None,
    before: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start a command; each secret goes through a descriptor of its own.

    Args:
        arguments: of the command.
        passphrase: the authority's; None to give none.
        secrets: option to what is read from its descriptor.
        before: a command that runs this one.
    """
    command = [*before, sys.executable, "-m", "pki", *map(str, arguments)]
    given = ({} if passphrase is None else {"--passphrase-fd": passphrase}) | dict(secrets or {})
    readers = []
    for option, secret in given.items():
        reader, writer = os.pipe()
        os.write(writer, secret)
        os.close(writer)
        readers.append(reader)
        command += [option, str(reader)]
    try:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, pass_fds=readers,
        )  # fmt: skip
    finally:
        for reader in readers:
            os.close(reader)


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a command that was started."""
    with process:
        try:
            out, err = process.communicate(timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def read_until(process: subprocess.Popen[str], stage: str) -> None:
    """Return when a rotation said that it is at a stage: it holds the lock then."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:1] == [stage]:
            return
    raise AssertionError(f"it ended before {stage}")


def pki(
    *arguments: str | Path,
    passphrase: bytes | None = PASSPHRASE,
    secrets: Mapping[str, bytes] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; see `begin`."""
    return end(begin(*arguments, passphrase=passphrase, secrets=secrets, before=before))


def fingerprint(folder: Path) -> dict[str, str]:
    """Return what every entry of a folder is: path to mode and content, also of what is hidden."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_dir():
            content = "a folder"
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = f"{path.lstat().st_mode:o} {content}"
    return found


def signatures(certs: Path) -> int:
    """Return how many lines of the ledger say that something was about to be signed, or was."""
    return sum(
        certs.joinpath("ledger.jsonl").read_text().count(f'"event":"{e}"') for e in ("intent", "issued")
    )


def leave_standing(certs: Path, kind: str, stage: str) -> Rotation:
    """Begin a rotation, leave it at a stage as if its process had been killed there, and return it."""

    def stop(reached: str, _: str) -> None:
        if reached == stage:
            raise Stopped

    setting = RotationSetting(
        certs,
        KEEPER,
        OfflineFleet("a test"),
        owners=lambda _: {},
        clock=lambda: datetime.now(UTC),
        by=attribution("a rotation of the tests"),
        tell=stop,
    )
    rotator = Rotator(setting)
    names = CertificateTree(certs).live_names()
    begins = {
        "leaf": lambda: rotator.rotate_leaves(names),
        "intermediate": lambda: rotator.rotate_intermediate(KEEPER),
        "root": lambda: rotator.rotate_root(KEEPER),
    }
    try:
        begins[kind]()
    except Stopped:
        rotation = require_state(CertificateTree(certs)).rotation
        assert rotation is not None
        return rotation
    raise AssertionError(f"a {kind} rotation has no stage {stage}")


def make_older(certs: Path, leaf_age: timedelta) -> None:
    """Make an authority whose only leaf, the gateway's, is this old; all else is as of now."""
    now = datetime.now(UTC)
    begun = now - leaf_age - timedelta(hours=1)
    initialise(certs, trust_domain=DOMAIN, root=KEEPER, issuing=KEEPER, now=begun)
    IssuingAuthority.open(certs, KEEPER).issue(["gateway"], owners={}, now=now - leaf_age)
    renew_lists(certs, issuing=KEEPER, root=None, now=now, force=True)
    refresh_bundles(CertificateTree(certs), ["gateway"], {})
