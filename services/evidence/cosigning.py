"""Show each new checkpoint to one witness, with the proof that it continues the last one, and keep its line.

The witness's word is verified before it is kept. A witness that is away delays its own line and nothing else;
one that remembers another history than ours is an alarm, because then the log has two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.evidence import counters
from services.evidence.store import NewestCheckpoint, Store
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.witness.client import WitnessClient
from services.witness.messages import Conflict, Refused
from signing import VerifyingKey
from signing.evidence.checkpoint import add_checkpoint_request
from signing.evidence.errors import EvidenceRefused
from signing.evidence.note import parse_note, verify_cosignature
from signing.evidence.tile_places import tiles_to_read
from signing.evidence.tiles import node_from_tiles
from signing.evidence.tree import consistency_path

# Without being told, look this often: another worker may have written the checkpoint.
LOOK_S = 0.5
AWAY_S = 1.0  # A witness is somebody else's machine; asking it once a second is polite.

_log = get_log("evidence.cosigning")


class Cosigning:
    """Collects the cosignatures of one witness.

    Args:
        store: The log.
        name: The witness's name.
        keys: Its public keys; more than one while it changes them.
        witness: The way to it.
        appended: Set when there is a new checkpoint.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        keys: Sequence[VerifyingKey],
        witness: WitnessClient,
        appended: asyncio.Event,
    ) -> None:
        self._store = store
        self._name = name
        self._keys = keys
        self._witness = witness
        self._appended = appended
        self._known: int | None = None  # The size that the witness remembers, as far as we know.
        self._done = 0

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            pause_s = await self._look()
            try:
                async with asyncio.timeout(pause_s):
                    await self._appended.wait()
            except TimeoutError:
                continue
            self._appended.clear()

    async def _look(self) -> float:
        """Show the newest checkpoint if the witness has not seen it; return how long to wait."""
        try:
            if self._known is None:
                self._known = self._done = await self._store.cosigned_size(self._name)
            newest = await self._store.newest_checkpoint()
            if newest is not None and newest.size > self._done:
                await self._show(newest, self._known)
        except DATABASE_AWAY as fault:
            _log.warning("the database is away, cosignatures wait", fault=type(fault).__name__)
            return AWAY_S
        except (HopUnsent, HopUnknown) as fault:
            counters.WITNESS_FAULTS.labels(self._name, "away").inc()
            _log.warning("a witness is away", witness=self._name, fault=type(fault).__name__)
            return AWAY_S
        return LOOK_S

    async def _show(self, newest: NewestCheckpoint, known: int) -> None:
        if known > newest.size:
            self._alarm("the witness remembers a longer log than there is", known, newest.size)
            return
        path: Sequence[bytes] = ()
        if 0 < known < newest.size:
            tiles = await self._store.tiles(tiles_to_read((known - 1,), newest.size))
            node = node_from_tiles(lambda level, index: tiles.get((level, index), b""))
            path = consistency_path(known, newest.size, node)
        answer = await self._witness.add_checkpoint(add_checkpoint_request(known, path, newest.note))
        match answer:
            case Conflict(size) if size == known:
                # It remembers the size that we named, and another tree: the log has two histories.
                self._alarm("the witness remembers another log of this size", known, newest.size)
            case Conflict(size):
                # It remembers another size than we thought: our last answer from it was lost.
                counters.WITNESS_FAULTS.labels(self._name, "conflict").inc()
                self._known = size
                self._appended.set()
            case Refused(status):
                self._alarm(f"the witness refuses the checkpoint with {status}", known, newest.size)
            case line:
                self._verify(newest.note + line)
                reach("evidence.cosignature_received")
                await self._store.cosign(newest.size, self._name, line)
                reach("evidence.cosignature_committed")
                self._known = self._done = newest.size
                counters.COSIGNED_SIZE.labels(self._name).set(newest.size)

    def _verify(self, note: bytes) -> None:
        """Refuse a line that is not the witness's on this very checkpoint.

        Raises:
            HopUnknown: It says nothing that could be kept.
        """
        faults = []
        for key in self._keys:
            try:
                verify_cosignature(parse_note(note), self._name, key)
            except EvidenceRefused as fault:
                faults.append(fault.code)
            else:
                return
        raise HopUnknown(f"the cosignature does not verify: {', '.join(faults) or 'no key is known'}")

    def _alarm(self, sentence: str, known: int, size: int) -> None:
        counters.WITNESS_FAULTS.labels(self._name, "refused").inc()
        _log.error(sentence, witness=self._name, known_size=known, size=size)
