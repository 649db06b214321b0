"""How old connections get: read from the kernel's tables again and again, whoever holds them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

LOOK_EVERY_S: Final = 0.25  # what an age is uncertain by
_ESTABLISHED: Final = "01"
_HEX: Final = 16


class ConnectionAges:
    """Watches established connections to some ports of this machine."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = frozenset(ports)
        self._first_seen: dict[str, tuple[float, int]] = {}
        self.seen = 0
        self.oldest: dict[int, float] = dict.fromkeys(ports, 0.0)

    @property
    def oldest_s(self) -> float:
        """Age of the oldest connection seen so far, as long as it was seen, seconds."""
        return max(self.oldest.values(), default=0.0)

    def older_than(self, age_s: float) -> list[int]:
        """Return the ports that had an older one."""
        return sorted(port for port, oldest in self.oldest.items() if oldest > age_s)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Read the tables once."""
        now = time.monotonic()
        present: dict[str, tuple[float, int]] = {}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], _HEX)
                # The server's end of each connection, told apart from an earlier one by its inode.
                if fields[3] != _ESTABLISHED or port not in self._ports:
                    continue
                name = f"{fields[1]}-{fields[2]}-{fields[9]}"
                if name not in self._first_seen:
                    self.seen += 1
                present[name] = self._first_seen.get(name, (now, port))
        self._first_seen = present
        for began, port in present.values():
            self.oldest[port] = max(self.oldest[port], now - began)
