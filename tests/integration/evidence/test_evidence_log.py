from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from functools import partial

import pytest

from signing.evidence.tile_places import tiles_to_read
from signing.evidence.tiles import node_from_tiles
from signing.evidence.tree import consistency_path, inclusion_path, verify_consistency, verify_inclusion
from tests.integration.evidence.evidence_stack import SETTLE_S_MAX, LogStack, naive_root
from tests.integration.payments.payments_samples import Request, accept
from tests.integration.payments.payments_stack import until

CHECKPOINT_S_MAX = 1.0  # What the merchants are promised.


async def test_every_record_gets_its_leaf_and_a_cosigned_checkpoint(log: LogStack) -> None:
    log.add_witness()
    log.add_sequencer()
    await log.accept(300)

    leaves = await log.settled()
    size = await log.cosigned()

    assert 300 == size == len(leaves)
    assert leaves == await log.records_as_leaves()
    for checkpoint in await log.checkpoints():
        assert naive_root(leaves[: checkpoint.size]) == checkpoint.root


async def test_the_tiles_prove_every_leaf_and_every_continuation(log: LogStack) -> None:
    log.add_sequencer()
    for count in (1, 255, 1, 300):
        await log.accept(count)
        await log.settled()
    leaves, checkpoints = await log.leaves(), await log.checkpoints()
    newest = checkpoints[-1]

    async def node(places: set[tuple[int, int]]) -> object:
        rows = await log.world.owner.fetch("select level, index, hashes from evidence.tile")
        tiles = {(row["level"], row["index"]): row["hashes"] for row in rows}
        return node_from_tiles(lambda level, index: tiles[level, index] if (level, index) in places else b"")

    for index, leaf in enumerate(leaves):
        read = await node(tiles_to_read((index,), newest.size)) if index % 50 == 0 else None
        if read is not None:
            path = inclusion_path(index, newest.size, read)  # type: ignore[arg-type]
            verify_inclusion(leaf, index, newest.size, path, newest.root)
    for older in checkpoints[:-1]:
        read = await node(tiles_to_read((older.size - 1,), newest.size))
        path = consistency_path(older.size, newest.size, read)  # type: ignore[arg-type]
        verify_consistency(older.size, older.root, newest.size, newest.root, path)
    assert len(checkpoints) >= 4


async def test_two_sequencers_write_one_log(log: LogStack) -> None:
    log.add_sequencer("one")
    log.add_sequencer("two")
    for _ in range(6):
        await log.accept(40)

    leaves = await log.settled()

    assert 240 == len(leaves)
    assert leaves == await log.records_as_leaves()
    for checkpoint in await log.checkpoints():
        assert naive_root(leaves[: checkpoint.size]) == checkpoint.root


async def test_a_killed_sequencer_leaves_a_log_that_the_next_one_continues(log: LogStack) -> None:
    log.add_witness()
    for round_ in range(5):
        program = log.add_sequencer()
        await log.accept(30)
        await until(partial(_appended_beyond, log, round_ * 30), SETTLE_S_MAX)
        await log.accept(20)
        program.stop(signal.SIGKILL)
    log.add_sequencer()

    leaves = await log.settled()
    await log.cosigned()

    assert 250 == len(leaves)
    for checkpoint in await log.checkpoints():
        assert naive_root(leaves[: checkpoint.size]) == checkpoint.root


async def _appended_beyond(log: LogStack, size: int) -> bool:
    return bool(await log.world.owner.fetchval("select size > $1 from evidence.head", size))


async def test_a_record_that_commits_late_is_not_passed_over(log: LogStack) -> None:
    log.add_sequencer()
    merchant = await log.world.open_account("acc_late")
    await log.world.open_account("acc_soon")
    late = log.world.gateway.transaction()
    await late.start()
    await accept(log.world.gateway, [Request("acc_late", merchant=merchant)])
    other = await log.server.connect("gateway", log.database)
    try:
        await accept(other, [Request("acc_soon", merchant="mer_acc_soon")])
        await asyncio.sleep(CHECKPOINT_S_MAX)  # What is shown is that nothing happens meanwhile.
        before = await log.leaves()
        await late.commit()
    finally:
        await other.close()

    leaves = await log.settled()

    assert ([], 2) == (before, len(leaves))
    assert leaves == await log.records_as_leaves()


async def test_a_checkpoint_follows_within_a_second(log: LogStack) -> None:
    log.add_sequencer()
    await log.accept(1)
    await log.settled()
    waits_s = []
    for _ in range(5):
        begun = time.monotonic()
        await log.accept(1)
        await log.settled()
        waits_s.append(time.monotonic() - begun)

    # The polling of this test and of a busy host are in it; the middle one shows what is usual.
    assert CHECKPOINT_S_MAX > sorted(waits_s)[2]


async def test_without_its_witness_the_log_goes_on_and_is_cosigned_later(log: LogStack) -> None:
    log.add_sequencer()
    await log.accept(10)
    await log.settled()
    wanted = "select count(*) from evidence.find_checkpoint(10, $1::interval)"
    at_once = await log.world.gateway.fetchval("select count(*) from evidence.find_checkpoint(10, '1 hour')")
    after_grace = await log.world.gateway.fetchval("select count(*) from evidence.find_checkpoint(10, '0 s')")

    log.add_witness()

    assert (0, 1) == (at_once, after_grace), wanted
    assert 10 == await log.cosigned()
    assert 1 == await log.world.gateway.fetchval(
        "select count(*) from evidence.find_checkpoint(10, '1 hour')"
    )


async def test_a_witness_that_was_killed_remembers(log: LogStack) -> None:
    log.add_sequencer()
    witness = log.add_witness()
    await log.accept(5)
    await log.settled()
    assert 5 == await log.cosigned()

    witness.stop(signal.SIGKILL)
    await log.accept(5)
    await log.settled()
    witness.start()

    assert 10 == await log.cosigned()


async def test_a_lost_answer_of_the_witness_is_asked_for_again(log: LogStack) -> None:
    sequencer = log.add_sequencer()
    log.add_witness()
    await log.accept(5)
    await log.settled()
    await log.cosigned()
    sequencer.stop()
    # As if the witness had cosigned and its line had been lost on the way.
    await log.world.owner.execute("alter table evidence.cosignature disable trigger append_only")
    await log.world.owner.execute("delete from evidence.cosignature")
    sequencer.start()

    assert 5 == await log.cosigned()


@pytest.mark.parametrize(
    "change",
    [
        "update evidence.leaf set leaf_hash = sha256(leaf_hash)",
        "delete from evidence.leaf",
        "truncate evidence.leaf, evidence.checkpoint, evidence.cosignature",
        "update evidence.checkpoint set note = 'x'",
        "delete from evidence.tile",
        "update evidence.tile set hashes = substring(hashes for 32)",
        "update evidence.tile set hashes = sha256(hashes)",
        "delete from evidence.cosignature",
    ],
)
async def test_the_log_cannot_be_rewritten_even_by_its_owner(log: LogStack, change: str) -> None:
    log.add_sequencer()
    log.add_witness()
    await log.accept(2)
    await log.settled()
    await log.cosigned()
    before = await log.leaves()

    with pytest.raises(Exception, match="is refused") as refused:
        await log.world.owner.execute(change)

    assert "23001" == getattr(refused.value, "sqlstate", None)
    assert before == await log.leaves()


async def test_a_line_that_is_not_the_witnesses_is_not_kept(log: LogStack) -> None:
    stranger = type(log.witness_key).generate("ed25519")
    (log.folder / "witness.key.pem").write_bytes(stranger.to_pem())
    log.add_witness()
    log.add_sequencer()
    await log.accept(3)
    await log.settled()
    fault = log.folder / "evidence.log"

    async def told() -> bool:
        return "a witness is away" in fault.read_text()

    await until(told, SETTLE_S_MAX)

    assert 0 == await log.world.owner.fetchval("select count(*) from evidence.cosignature")


async def test_a_witness_that_remembers_another_log_of_this_size_is_an_alarm(log: LogStack) -> None:
    sequencer = log.add_sequencer()
    witness = log.add_witness()
    await log.accept(5)
    await log.settled()
    await log.cosigned()
    sequencer.stop()
    witness.stop()
    # As if the witness had been shown another tree of this size, and its line had not come back.
    memory = sqlite3.connect(log.folder / "witness" / "witness.sqlite")
    memory.execute("update seen set root = ?", (bytes(32),))
    memory.commit()
    memory.close()
    await log.world.owner.execute("alter table evidence.cosignature disable trigger append_only")
    await log.world.owner.execute("delete from evidence.cosignature")
    witness.start()
    sequencer.start()

    async def alarmed() -> bool:
        return "another log of this size" in (log.folder / "evidence.log").read_text()

    await until(alarmed, SETTLE_S_MAX)

    assert 0 == await log.world.owner.fetchval("select count(*) from evidence.cosignature")
