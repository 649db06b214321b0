"""A stolen leaf is revoked on the running stack: refused by whoever checks lists, its connections ended."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import asyncpg
import pytest

from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.certificate_files import CertificateTree
from pki.consumers.access import Access
from pki.consumers.contract import Credential
from pki.consumers.deployment import Deployment, Listener, read_deployment
from pki.consumers.probing import Answer, look, probe_context
from pki.rotation.confirming import present_uses
from pki.tls import client_context
from tests.mesh.enrolled_merchant import EnrolledMerchant
from tests.mesh.rotating import Paying, pki, read

STOLEN = "payments"  # Its leaf opens PostgreSQL, NATS and its own sidecar's way to the banks.
ENDED_S_MAX = 5.0


def credential_of(tree: CertificateTree, name: str) -> Credential:
    """What a thief would have copied."""
    found = tree.read_current(name)
    assert found is not None
    return Credential(found[1].chain, found[1].key, present_uses(tree, [name])[name].serial)


def answers(deployment: Deployment, tree: CertificateTree, credential: Credential) -> dict[str, Answer]:
    """What each listener that admits the stolen name makes of a credential."""
    access = Access(tree.root, deployment.trust_domain, deployment.processes_file)

    def ask(name: str, listener: Listener) -> Answer:
        context = probe_context(access.trust_of(name), credential)
        return look(listener, access.identity(name), context, ask=True).answer

    return {
        listener.name: ask(consumer.name, listener)
        for consumer in deployment.consumers
        for listener in consumer.listeners
        if listener.admits == STOLEN or listener.protocol == "postgres"
    }


async def test_a_stolen_leaf_is_revoked_and_its_connections_are_ended(
    stack: Stack, merchant: EnrolledMerchant, tmp_path: Path
) -> None:
    tree = CertificateTree(stack.layout.certs)
    deployment = read_deployment(stack.layout.run / "deployment.json")
    stolen = credential_of(tree, STOLEN)
    before = await asyncio.to_thread(answers, deployment, tree, stolen)
    copied = shutil.copytree(tree.root / "live" / STOLEN / "current", tmp_path / "copied")
    held = await session_of_a_thief(stack, copied)
    ended = asyncio.Event()
    held.add_termination_listener(lambda _: ended.set())

    revoked = await pki(stack, "revoke", STOLEN, "--reason", "key-compromise", "--disconnect", "--json")
    async with asyncio.timeout(ENDED_S_MAX):
        await ended.wait()
    await stack.supervisor.wait_ready_again("payments-sidecar")
    after = await asyncio.to_thread(answers, deployment, tree, stolen)
    good = await asyncio.to_thread(answers, deployment, tree, credential_of(tree, STOLEN))
    async with Paying(merchant) as paying:
        await asyncio.sleep(2)
    inventory = json.loads((await read(stack, "inventory", "--json")).out)
    status = await read(stack, "status")

    assert 0 == revoked.code, revoked.err
    assert {Answer.ACCEPTED} == set(before.values()) == set(good.values())
    # NATS checks no lists; the connections that it had were ended with it.
    assert {name: Answer.ACCEPTED if name == "nats.tls" else Answer.REFUSED for name in before} == after
    assert [] == paying.load.failures
    assert [("key-compromise", STOLEN)] == [
        (row["revoked"]["reason"], row["subject"])
        for row in inventory["certificates"]
        if row["serial"] == stolen.serial
    ]
    assert 0 == status.code, status.out


async def session_of_a_thief(stack: Stack, copied: Path) -> asyncpg.Connection:
    """A session that was opened with the copied key before anybody knew."""
    address = stack.places.addresses["postgres.tls"]
    return await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=STOLEN,
        database=DATABASE,
        ssl=client_context(copied, expect=frozenset({stack.mesh.spiffe("postgres")})),
    )


@pytest.mark.parametrize("words", [("crl",), ("crl", "--due")])
async def test_lists_are_signed_anew_and_seen_in_force(stack: Stack, words: tuple[str, ...]) -> None:
    done = await pki(stack, *words)

    assert 0 == done.code, done.err
    assert Path(stack.layout.certs / "ledger.jsonl").exists()
