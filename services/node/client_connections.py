"""What one client of this process has open: since when, and with which certificate it was opened."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from services.node.identity import LoadedGeneration


class ClientReport(msgspec.Struct, frozen=True):
    """One client, as `/identity` tells it.

    Attributes:
        name: The callee.
        serial: Of the certificate that new connections are opened with; hex.
        trust_sha256: Of the trust bundle that new connections are judged by; hex.
        crl_sha256: Of the CRLs that new connections are judged by; hex, empty where there are none.
        open: Connections.
        oldest_age_s: Of the oldest of them; 0 if there is none.
        serials_open: Serial that connections were opened with, to their number.
    """

    name: str
    serial: str
    trust_sha256: str
    crl_sha256: str
    open: int
    oldest_age_s: float
    serials_open: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    serial: str
    at: float
    is_open: Callable[[], bool]


class ClientConnections:
    """The list of one client's connections; it ends none of them.

    Args:
        name: The callee.
        generation: What new connections are opened with; the client sets it anew.
    """

    def __init__(self, name: str, generation: LoadedGeneration) -> None:
        self.name = name
        self.generation = generation
        self._opened: list[_Opened] = []

    def add(self, generation: LoadedGeneration, is_open: Callable[[], bool]) -> None:
        """Note a connection that is being opened now; it stays on the list while `is_open()`."""
        self._forget_closed()
        self._opened.append(_Opened(generation.serial, time.monotonic(), is_open))

    def report(self) -> ClientReport:
        """Return what is open at this moment."""
        self._forget_closed()
        oldest = min((opened.at for opened in self._opened), default=None)
        return ClientReport(
            name=self.name,
            serial=self.generation.serial,
            trust_sha256=self.generation.trust_sha256,
            crl_sha256=self.generation.crl_sha256,
            open=len(self._opened),
            oldest_age_s=0.0 if oldest is None else round(time.monotonic() - oldest, 3),
            serials_open=dict(Counter(opened.serial for opened in self._opened)),
        )

    def _forget_closed(self) -> None:
        self._opened = [opened for opened in self._opened if opened.is_open()]
