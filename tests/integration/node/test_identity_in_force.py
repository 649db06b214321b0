"""The identity in force: found whole, told to everybody, offered again to whoever failed to take it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pki.errors import GenerationError
from services.node.identity import IdentityInForce, LoadedGeneration, identity_in_force
from tests.integration.node.generations import alone, publish, renew, serial_of
from tests.integration.node.load import until
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki


@pytest.fixture
def pki(tmp_path: Path) -> ThrowAwayPki:
    certs = ThrowAwayPki.create(tmp_path / "certs")
    certs.issue("gateway")
    return certs


@pytest.fixture
def identity(pki: ThrowAwayPki) -> IdentityInForce:
    return IdentityInForce(pki.identity("gateway"), spiffe("gateway"))


class Taker:
    """Takes generations, or fails to."""

    def __init__(self, *, faults: int = 0) -> None:
        self.faults = faults
        self.taken: list[str] = []

    async def take(self, generation: LoadedGeneration) -> None:
        if self.faults:
            self.faults -= 1
            raise OSError("no more files")
        self.taken.append(generation.serial)


async def test_everybody_is_told_of_a_new_generation_once(
    pki: ThrowAwayPki, identity: IdentityInForce
) -> None:
    takers = [Taker(), Taker()]
    before = [identity.subscribe(taker.take) for taker in takers]
    serials = [await renew(pki, "gateway")]
    await until(lambda: all(taker.taken for taker in takers))
    serials.append(await renew(pki, "gateway"))
    await until(lambda: all(len(taker.taken) > 1 for taker in takers))
    for taker in takers:
        identity.unsubscribe(taker.take)

    assert [identity.generation] != before
    assert [serials, serials] == [taker.taken for taker in takers]


async def test_who_fails_is_offered_the_generation_again_and_keeps_nobody_waiting(
    pki: ThrowAwayPki, identity: IdentityInForce
) -> None:
    failing, sound = Taker(faults=2), Taker()
    for taker in (failing, sound):
        identity.subscribe(taker.take)
    serial = await renew(pki, "gateway")
    await identity.look()
    first = list(sound.taken)
    await until(lambda: bool(failing.taken))
    for taker in (failing, sound):
        identity.unsubscribe(taker.take)

    assert [serial] == first
    assert [[serial], [serial]] == [failing.taken, sound.taken]
    assert 0 == failing.faults


@pytest.mark.parametrize("name", ["cert", "key", "trust"])
async def test_a_broken_generation_changes_nothing_until_a_whole_one_comes(
    pki: ThrowAwayPki, identity: IdentityInForce, name: str
) -> None:
    taker = Taker()
    before = identity.subscribe(taker.take)
    broken = publish(pki.identity("gateway"), **{name: b"not PEM\n"})
    await identity.look()
    await identity.look()
    still = identity.generation
    whole = publish(pki.identity("gateway"), **alone(before.folder))
    await identity.look()
    identity.unsubscribe(taker.take)

    assert before is still
    assert [before.serial] == taker.taken
    assert whole == identity.generation.folder
    assert broken != whole


async def test_a_generation_that_is_mended_in_place_is_taken(
    pki: ThrowAwayPki, identity: IdentityInForce
) -> None:
    taker = Taker()
    before = identity.subscribe(taker.take)
    folder = publish(pki.identity("gateway"), key=b"")
    await identity.look()
    key = (before.folder / "key.pem").read_bytes()
    (folder / "key.pem").write_bytes(key)
    await identity.look()
    identity.unsubscribe(taker.take)

    assert [before.serial] == taker.taken


async def test_nobody_is_told_after_leaving_and_whoever_comes_later_gets_the_newest(
    pki: ThrowAwayPki, identity: IdentityInForce
) -> None:
    early, late = Taker(), Taker()
    identity.subscribe(early.take)
    identity.unsubscribe(early.take)
    serial = await renew(pki, "gateway")
    await identity.look()
    first = identity.subscribe(late.take)
    identity.unsubscribe(late.take)

    assert ([], serial) == (early.taken, first.serial)


async def test_what_is_told_of_trust_and_crls_are_their_digests(pki: ThrowAwayPki) -> None:
    link = pki.identity("gateway")
    crl = (link / "crl.pem").read_bytes() if (link / "crl.pem").exists() else None
    generation = IdentityInForce(link, spiffe("gateway")).generation

    assert serial_of(link) == generation.serial
    assert hashlib.sha256((link / "trust.pem").read_bytes()).hexdigest() == generation.trust_sha256
    assert ("" if crl is None else hashlib.sha256(crl).hexdigest()) == generation.crl_sha256


async def test_one_process_has_one_instance_for_an_identity(pki: ThrowAwayPki, tmp_path: Path) -> None:
    first = identity_in_force(node_config(pki, "gateway", tmp_path))
    second = identity_in_force(node_config(pki, "gateway", tmp_path, age_s_max=1.0))

    assert first is second


async def test_without_a_usable_generation_there_is_no_identity(pki: ThrowAwayPki) -> None:
    publish(pki.identity("gateway"), key=b"")

    with pytest.raises(GenerationError):
        IdentityInForce(pki.identity("gateway"), spiffe("gateway"))
