"""A copy of the trust bundle for somebody who may not read the certificate tree, kept as new as the original.

Merchants verify the edge with it. A root that joins is in the copy before anything is issued from it, one
that goes leaves with it: each stage of a rotation takes seconds, and the copy a fraction of one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from compose.launcher.accounts import Account
from compose.launcher.layout import write_readable

FOLLOW_S = 0.25  # As often as the processes of the mesh look; it costs two small reads.


class FollowedBundle:
    """One copy.

    Args:
        source: `trust.pem` behind a `current` link.
        file: The copy; its folder is there.
        account: Who may read the copy.
    """

    def __init__(self, source: Path, file: Path, account: Account) -> None:
        self._source = source
        self._file = file
        self._account = account

    def publish(self) -> None:
        """Make the copy equal to the original, if it is not.

        Raises:
            OSError: One of the two cannot be read or written.
        """
        trust = self._source.read_bytes()
        if not self._file.exists() or self._file.read_bytes() != trust:
            write_readable(self._file, trust, self._account)

    async def follow(self) -> None:
        """Go on doing so until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            with suppress(OSError):  # A full disk passes; the next look writes what this one could not.
                self.publish()
