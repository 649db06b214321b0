"""What anyone may read of the log, at a price that does not grow with how many ask.

Strangers are served from memory, or together: whatever they ask at one time is one statement for all of them,
and one connection at the most reads checkpoints, one tiles. So a flood of them takes nothing from merchants.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.access.merchants import Memory
from gateway.errors import CellUnavailable
from gateway.store.evidence import EvidenceStore, SignedCheckpoint
from services.node.group import Group, GroupFull
from signing.evidence.tiles import TILE_WIDTH
from signing.evidence.tree import HASH_BYTES

Place = tuple[int, int]

CHECKPOINT_AGE_S_MAX = (
    0.25  # Checkpoints follow each other twice a second; asking more often tells nothing new.
)
TILES_PER_STATEMENT_MAX = 64  # 8 KiB each.
# Whole tiles never change. 8 MiB of them cover 262,144 leaves, the newest ones, which are asked for most.
TILES_REMEMBERED_MAX = 1024
TILE_AGE_S_MAX = 3600.0  # Only so that what nobody asks for any more leaves the memory.
_WHOLE_BYTES = TILE_WIDTH * HASH_BYTES


class PublishedLog:
    """Reads the log for strangers.

    Args:
        evidence: the log.
        clock: monotonic seconds.
    """

    def __init__(self, evidence: EvidenceStore, clock: Callable[[], float]) -> None:
        self._evidence = evidence
        self._newest: Memory[None, SignedCheckpoint | None] = Memory(clock, age_s_max=CHECKPOINT_AGE_S_MAX)
        self._whole: Memory[Place, bytes] = Memory(
            clock, age_s_max=TILE_AGE_S_MAX, items_max=TILES_REMEMBERED_MAX
        )
        self._checkpoints: Group[None, SignedCheckpoint | None] = Group(self._read_checkpoint)
        self._tiles: Group[Place, bytes] = Group(self._read_tiles, items_max=TILES_PER_STATEMENT_MAX)

    async def checkpoint(self) -> SignedCheckpoint | None:
        """Return the newest checkpoint; None while the log is empty.

        Raises:
            CellUnavailable: the record is away, or too many ask at once.
        """
        recalled = self._newest.get(None)
        if recalled is not None and recalled.current:
            return recalled.value
        try:
            return await self._checkpoints.submit(None)
        except GroupFull as fault:
            raise CellUnavailable("the log is out of reach: ask again") from fault

    async def tile(self, level: int, index: int) -> bytes:
        """Return the hashes of a tile so far, in a row; b"" if there is none.

        Raises:
            CellUnavailable: as above.
        """
        recalled = self._whole.get((level, index))
        if recalled is not None and recalled.current:
            return recalled.value
        try:
            return await self._tiles.submit((level, index))
        except GroupFull as fault:
            raise CellUnavailable("the log is out of reach: ask again") from fault

    async def close(self) -> None:
        """Wait for reads under way."""
        await self._checkpoints.close()
        await self._tiles.close()

    async def _read_checkpoint(self, askers: list[None]) -> list[SignedCheckpoint | None]:
        newest = await self._evidence.published_checkpoint()
        self._newest.put(None, newest)
        return [newest] * len(askers)

    async def _read_tiles(self, places: list[Place]) -> list[bytes]:
        found = await self._evidence.tiles(set(places))
        for place, hashes in found.items():
            if len(hashes) == _WHOLE_BYTES:
                self._whole.put(place, hashes)
        return [found.get(place, b"") for place in places]
