"""A ledger beside the heads in the log, by the command: what was cut or replaced is found, and where."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from pathlib import Path

import pytest

from pki.anchoring import anchor_if_running
from pki.errors import ConsumerAway
from tests.integration.evidence.anchored_tree import AnchoredTree, statements, tree, write_deployment
from tests.integration.evidence.evidence_stack import LogStack
from tests.integration.payments.payments_stack import free_port

__all__ = ["tree"]  # the fixture


async def test_a_ledger_that_went_on_verifies_and_says_what_is_not_anchored_yet(tree: AnchoredTree) -> None:
    early = await tree.verify_with_log()
    assert None is await tree.anchor_now()
    head = tree.head
    tree.issue("edge", "gateway")
    after, alone = await tree.verify_with_log(), await tree.verify("--json")

    assert (3, 0, 0) == (early.returncode, after.returncode, alone.returncode)
    assert "no line is anchored" in early.stderr
    newer = tree.head.seq - head.seq
    assert f"line {head.seq} and all before it are anchored since " in after.stdout
    assert f"in the evidence log, its entry is on its way; newer lines: {newer}" in after.stdout
    assert newer == json.loads(alone.stdout)["anchor"]["newer_lines"] > 0
    remembered = tree.certs / "anchor.json"
    assert 0o600 == stat.S_IMODE(remembered.stat().st_mode)
    assert (head.seq, head.digest) == tuple(
        json.loads(remembered.read_text())[name] for name in ("seq", "digest")
    )


async def test_lines_cut_off_the_end_are_found_also_after_new_ones_were_written(tree: AnchoredTree) -> None:
    tree.issue("edge")
    anchored = tree.head.seq
    assert None is await tree.anchor_now()
    tree.cut(2)
    (tree.certs / "anchor.json").unlink()
    alone, cut = await tree.verify(), await tree.verify_with_log()
    tree.issue("edge")
    rewritten = await tree.verify_with_log()
    sentence = await tree.anchor_now()

    # The chain of what is left verifies: without the log nobody would know.
    assert (0, 4, 4) == (alone.returncode, cut.returncode, rewritten.returncode)
    assert f"is missing: the ledger ends at line {anchored - 2}; lines were removed" in cut.stderr
    assert f"line {anchored} was anchored at " in rewritten.stderr
    assert "is another one; lines were removed" in rewritten.stderr
    assert sentence is not None
    assert "not safely anchored" in sentence
    assert "is another one" in sentence


async def test_lines_cut_off_by_accident_are_found_without_the_log(tree: AnchoredTree) -> None:
    assert None is await tree.anchor_now()
    tree.cut(1)
    found = await tree.verify("--json")

    assert (4, False) == (found.returncode, json.loads(found.stdout)["verified"])


async def test_a_ledger_in_the_place_of_another_is_found_though_its_own_head_is_anchored(
    log: LogStack, tree: AnchoredTree
) -> None:
    first = tree.head.seq
    assert None is await tree.anchor_now()
    tree.issue("edge")
    middle = tree.head.seq
    assert None is await tree.anchor_now()
    tree.write_another_story(keep=first, lines=50)
    (tree.certs / "anchor.json").unlink()
    # Whoever has the ledger's machine has its leaf, too, and may anchor what it likes after what is there.
    await asyncio.to_thread(tree.record().anchor, tree.head)
    found = await tree.verify_with_log()

    assert 4 == found.returncode
    assert f"line {middle} was anchored at " in found.stderr
    assert f"the ledger was replaced after line {first}" in found.stderr
    assert 3 == len(await statements(log))


async def test_a_ledger_restored_from_an_older_backup_is_anchored_again_and_its_gap_stays_known(
    log: LogStack, tree: AnchoredTree
) -> None:
    tree.issue("edge")
    lost = tree.head.seq
    assert None is await tree.anchor_now()
    tree.cut(2)
    (tree.certs / "anchor.json").unlink()
    tree.issue("edge", "gateway")
    sentences = [await tree.anchor_now(), await tree.anchor_now()]
    found = await tree.verify_with_log()

    assert f"line {lost} was anchored at " in str(sentences[0])
    assert sentences[1] is None
    assert 2 == len(await statements(log))
    assert 4 == found.returncode
    assert f"line {lost} was anchored at " in found.stderr


async def test_a_log_that_lost_the_head_is_found(log: LogStack, tree: AnchoredTree) -> None:
    assert None is await tree.anchor_now()
    # As if the database had been restored from a backup of before.
    for table in ("ledger_head", "record"):
        await log.world.owner.execute(f"alter table evidence.{table} disable trigger append_only")
        await log.world.owner.execute(f"delete from evidence.{table}")
    found, sentences = await tree.verify_with_log(), [await tree.anchor_now(), await tree.anchor_now()]
    tree.issue("edge")
    sentences += [await tree.anchor_now()]

    assert 4 == found.returncode
    assert "restored from an older backup" in found.stderr
    # The ledger is still the one that was anchored: its head stands in the log again, and that is enough.
    assert "restored from an older backup" in str(sentences[0])
    assert [None, None] == sentences[1:]


async def test_a_log_of_another_trust_domain_is_not_asked(
    log: LogStack, tree: AnchoredTree, tmp_path: Path
) -> None:
    file = write_deployment(tmp_path / "other.json", log.server.port, log.database, "another.internal")

    with pytest.raises(ConsumerAway):
        await asyncio.to_thread(AnchoredTree(tree.certs, file).record().newest)


async def test_a_command_never_fails_for_its_anchor(tree: AnchoredTree, tmp_path: Path) -> None:
    away = AnchoredTree(tree.certs, write_deployment(tmp_path / "away.json", free_port(), "countermark"))
    gone = AnchoredTree(tree.certs, tmp_path / "no-such.json")
    nobody = AnchoredTree(tmp_path / "copy", tree.deployment_file)
    shutil.copytree(tree.certs, nobody.certs, symlinks=True)
    shutil.rmtree(nobody.certs / "live" / "pki")

    sentences = [await each.anchor_now() for each in (away, gone, nobody)]
    verified = await away.verify_with_log()

    assert all(
        str(sentence).startswith("the ledger's head is not safely anchored: ") for sentence in sentences
    )
    codes = [str(sentence).rpartition("[")[2] for sentence in sentences]
    assert ["consumer-away]", "deployment]", "generation]"] == codes
    assert anchor_if_running(None, tree.certs) is None
    assert not (tree.certs / "anchor.json").exists()
    # A verification that could not ask is an error, and never a verdict.
    assert (1, "") == (verified.returncode, verified.stdout)
