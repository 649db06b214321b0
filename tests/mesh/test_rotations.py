"""Everything rotates under signed payments, by the commands that compliance teams run, and nothing fails."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compose.launcher.configuration import CONNECTION_AGE_S_MAX
from compose.launcher.stack import Stack
from pki.authority import IssuingAuthority, initialise
from pki.certificate_files import CertificateTree, Generation
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.inventory import present_owners
from pki.rotation.confirming import present_uses
from pki.seal import ScryptCost
from tests.bench.connection_ages import LOOK_EVERY_S, ConnectionAges
from tests.mesh.enrolled_merchant import EnrolledMerchant
from tests.mesh.rotating import Paying, pki, read

CHEAP = PassphraseKeeper(b"an authority that nobody trusts", ScryptCost(n=2**14))


@pytest.fixture
def tree(stack: Stack) -> CertificateTree:
    return CertificateTree(stack.layout.certs)


def serials(tree: CertificateTree) -> dict[str, str]:
    return {name: use.serial for name, use in present_uses(tree, tree.live_names()).items()}


@pytest.mark.parametrize("kind", ["leaf", "intermediate", "root"])
async def test_rotating_everything_fails_no_request_and_leaves_no_old_connection(
    kind: str, stack: Stack, merchant: EnrolledMerchant, tree: CertificateTree
) -> None:
    before, state = serials(tree), tree.read_state()
    ages = ConnectionAges([address.port for address in stack.places.addresses.values()])
    watching = asyncio.create_task(ages.watch())
    async with Paying(merchant) as paying:
        done = await pki(stack, "rotate", kind, "--json", opens_root=kind == "intermediate")
        await asyncio.sleep(CONNECTION_AGE_S_MAX / 2)
    watching.cancel()
    now, after = serials(tree), tree.read_state()

    assert (0, []) == (done.code, paying.load.failures), done.err
    assert len(paying.load.seconds) > 100
    assert before.keys() == now.keys()
    assert not set(before.values()) & set(now.values())
    assert now == done.document()["serials"]
    assert state is not None
    assert after is not None
    assert (state.issuer != after.issuer, state.trust != after.trust) == (kind != "leaf", kind == "root")
    assert [] == ages.older_than(CONNECTION_AGE_S_MAX + LOOK_EVERY_S), ages.oldest


async def test_the_meter_counts_when_a_process_shows_a_leaf_that_its_peer_does_not_trust(
    stack: Stack, merchant: EnrolledMerchant, tree: CertificateTree, tmp_path: Path
) -> None:
    owners = present_owners(tree, ["gateway"])
    found = tree.read_current("gateway")
    assert found is not None
    ours = found[1]
    stranger = _foreign_leaf(tmp_path)
    async with Paying(merchant) as paying:
        # Published past the command, which would not: the trust of before beside a leaf of nobody's.
        tree.publish(
            "gateway", Generation(stranger.chain, stranger.key, ours.trust, ours.crl, {}), owners["gateway"]
        )
        async with asyncio.timeout(CONNECTION_AGE_S_MAX * 3):
            while not paying.load.failures:  # noqa: ASYNC110 - the failures are the peers' doing, not ours
                await asyncio.sleep(0.1)
    status = await read(stack, "status")
    mended = await pki(stack, "renew", "gateway")
    async with Paying(merchant) as paying:
        await asyncio.sleep(2)

    assert 4 == status.code
    assert "gateway" in next(line for line in status.out.splitlines() if "×" in line)
    assert (0, []) == (mended.code, paying.load.failures), mended.err


def _foreign_leaf(folder: Path) -> Generation:
    certs = folder / "stranger"
    now = datetime.now(UTC)
    initialise(certs, trust_domain="countermark.internal", root=CHEAP, issuing=CHEAP, now=now)
    IssuingAuthority.open(certs, CHEAP).issue(["gateway"], owners={}, now=now)
    found = CertificateTree(certs).read_current("gateway")
    assert found is not None
    return found[1]


async def test_a_consumer_that_cannot_be_confirmed_blocks_and_is_named_and_the_mesh_goes_on(
    stack: Stack, merchant: EnrolledMerchant, tree: CertificateTree
) -> None:
    witness = stack.supervisor.pids()["witness"]
    os.kill(witness, signal.SIGSTOP)
    try:
        async with Paying(merchant) as paying:
            blocked = await pki(stack, "rotate", "root")
            again = await pki(stack, "rotate", "root")
    finally:
        os.kill(witness, signal.SIGCONT)
    async with Paying(merchant) as paying_on:
        resumed = await pki(stack, "rotate", "root", "--resume")

    assert 5 == blocked.code, blocked.err
    assert "witness" in blocked.err
    assert "--resume" in blocked.err
    assert (1, True) == (again.code, "under way" in again.err)
    assert ([], []) == (paying.load.failures, paying_on.load.failures)
    assert 0 == resumed.code, resumed.err


async def test_a_blocked_rotation_goes_back(
    stack: Stack, merchant: EnrolledMerchant, tree: CertificateTree
) -> None:
    state = tree.read_state()
    witness = stack.supervisor.pids()["witness"]
    os.kill(witness, signal.SIGSTOP)
    try:
        blocked = await pki(stack, "rotate", "root")
    finally:
        os.kill(witness, signal.SIGCONT)
    async with Paying(merchant) as paying:
        back = await pki(stack, "rotate", "root", "--rollback")

    assert (5, 0, []) == (blocked.code, back.code, paying.load.failures), back.err
    assert state == tree.read_state()
