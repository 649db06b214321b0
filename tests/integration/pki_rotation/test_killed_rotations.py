"""A rotation that is killed before any of its durable steps leaves a mesh that works, and can be resumed.

The process is really killed: forked, and ended at the n-th rename, link, removal or sync, for every n that
there is. Each time every pair of workloads must still accept each other, also one that has loaded the files
of now and one that still has those of the last stage that was complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pki.authority import IssuingAuthority, initialise
from pki.authority_state import AuthorityState
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.inventory import require_state, take_inventory
from pki.recorded_signing import attribution
from pki.rotation.engine import RotationSetting, Rotator
from pki.rotation.offline_fleet import OfflineFleet
from pki.rotation.plan import stages
from pki.seal import ScryptCost
from pki.status import Level, judge, worst
from tests.integration.pki_rotation.trust_pairs import NAMES, assert_all_trust_each_other, generations

DOMAIN = "countermark.internal"
KEEPER = PassphraseKeeper(b"a passphrase of the tests", ScryptCost(n=2**14))
STEPS = ("fsync", "rename", "replace", "unlink", "rmdir", "symlink")
KILLED, FINISHED = 77, 0

Operation = Callable[[Rotator], None]
OPERATIONS: dict[str, Operation] = {
    "leaf": lambda rotator: rotator.rotate_leaves(NAMES),
    "intermediate": lambda rotator: rotator.rotate_intermediate(KEEPER),
    "root": lambda rotator: rotator.rotate_root(KEEPER),
}


class Stopped(Exception):
    """Raised where a rotation is to be left standing."""


def rotator(certs: Path, tell: Callable[[str, str], None] = lambda *_: None) -> Rotator:
    return Rotator(
        RotationSetting(
            certs,
            KEEPER,
            OfflineFleet("nothing runs in this test"),
            owners=lambda _: {},
            clock=lambda: datetime.now(UTC),
            by=attribution("a rotation of the tests"),
            tell=tell,
        )
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    certs = tmp_path_factory.mktemp("rotation") / "certs"
    initialise(certs, trust_domain=DOMAIN, root=KEEPER, issuing=KEEPER, now=datetime.now(UTC))
    IssuingAuthority.open(certs, KEEPER).issue(NAMES, owners={}, now=datetime.now(UTC))
    return certs


def copy(certs: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(certs, place, symlinks=True)
    return place


def kill_before_step(number: int) -> None:
    """End this process instead of its n-th durable step from now on."""
    done = 0

    def counting(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done == number:
                os._exit(KILLED)
            return step(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counting(getattr(os, name)))


def run_until_killed(operation: Operation, certs: Path, snapshot: Path, number: int) -> int:
    """Run in a process of its own; `snapshot` gets what was live when the last stage was complete."""
    originals = {name: getattr(os, name) for name in STEPS}
    child = os.fork()
    if child == 0:

        def complete(stage: str, _: str) -> None:
            if stage not in STAGES:
                return
            counted = {name: getattr(os, name) for name in STEPS}
            for name, step in originals.items():
                setattr(os, name, step)
            copy(certs / "live", snapshot)
            for name, step in counted.items():
                setattr(os, name, step)

        try:
            kill_before_step(number)
            operation(rotator(certs, complete))
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest.
            os._exit(1)
        os._exit(FINISHED)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


STAGES = {
    stage.name for kind in OPERATIONS for back in (False, True) for stage in stages(kind, reverting=back)
}


def killed_everywhere(operation: Operation, template: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (tree, snapshot) for each step before which the operation was killed."""
    number = 0
    while True:
        number += 1
        certs = copy(template, folder / "certs")
        snapshot = copy(certs / "live", folder / "snapshot")
        code = run_until_killed(operation, certs, snapshot, number)
        if code == FINISHED:
            assert number > 10, "the steps were not counted"
            return
        assert code == KILLED, f"killed at step {number}, it ended with {code}"
        yield certs, snapshot


def assert_in_order(certs: Path) -> None:
    tree = CertificateTree(certs)
    inventory = take_inventory(tree)
    lines = judge(inventory, datetime.now(UTC))
    assert worst(lines) == Level.FINE, [line for line in lines if line.level is not Level.FINE]
    assert require_state(tree).rotation is None
    assert tree.unused_authorities(require_state(tree)) == []
    assert not list((certs / "ca").glob(".aside-*"))


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_rotation_killed_anywhere_leaves_trust_whole_and_resumes(
    kind: str, template: Path, tmp_path: Path
) -> None:
    before = require_state(CertificateTree(template))
    serials = leaves(template)
    for certs, snapshot in killed_everywhere(OPERATIONS[kind], template, tmp_path):
        assert_all_trust_each_other(generations(certs / "live"), generations(snapshot))
        if require_state(CertificateTree(certs)).rotation is None:
            # Killed before it began or after it ended: it is run again, as an operator would.
            OPERATIONS[kind](rotator(certs))
        else:
            rotator(certs).resume()
        assert_in_order(certs)
        assert_all_trust_each_other(generations(certs / "live"))
        assert not serials & leaves(certs)
        assert (
            changed(before, require_state(CertificateTree(certs)))
            == ({"leaf": (False, False), "intermediate": (True, False), "root": (True, True)}[kind])
        )


@pytest.mark.parametrize("kind", ["intermediate", "root"])
@pytest.mark.parametrize("stage", ["trust-both", "issue-new", "drain"])
def test_a_rollback_killed_anywhere_leaves_trust_whole_and_resumes(
    kind: str, stage: str, template: Path, tmp_path: Path
) -> None:
    before = require_state(CertificateTree(template))
    standing = stopped_at(kind, stage, template, tmp_path)
    for certs, snapshot in killed_everywhere(Rotator.roll_back, standing, tmp_path):
        assert_all_trust_each_other(generations(certs / "live"), generations(snapshot))
        if require_state(CertificateTree(certs)).rotation is not None:
            rotator(certs).roll_back()
        assert_in_order(certs)
        assert_all_trust_each_other(generations(certs / "live"))
        assert changed(before, require_state(CertificateTree(certs))) == (False, False)


def stopped_at(kind: str, stage: str, template: Path, folder: Path) -> Path:
    """Return a tree whose rotation stands in this stage, its files not yet brought to it."""

    def stop(reached: str, _: str) -> None:
        if reached == stage:
            raise Stopped

    certs = copy(template, folder / "standing")
    with pytest.raises(Stopped):
        OPERATIONS[kind](rotator(certs, stop))
    return certs


def leaves(certs: Path) -> set[int]:
    records = take_inventory(CertificateTree(certs)).leaves
    return {record.certificate.serial_number for record in records if record.certificate is not None}


def changed(before: AuthorityState, now: AuthorityState) -> tuple[bool, bool]:
    return before.issuer != now.issuer, before.trust != now.trust
