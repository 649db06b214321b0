"""One client's side of the identity in force: what to dial with, and when that has had its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from pki.tls import client_context
from services.node.ageing import CLOSING_BEGINS_SHARE, CUT_SHARE
from services.node.client_connections import ClientConnections
from services.node.config_file import NodeConfig
from services.node.identity import LoadedGeneration, identity_in_force


class ClientIdentity:
    """Follows the identity from its making until `leave`, and is in the report for as long.

    Args:
        config: Identity of this process, and how old a connection may become.
        name: The callee, for the report.
        expect: The SPIFFE id that the callee must prove.

    Attributes:
        context: For the next dial; take it and `generation` without awaiting in between.
        generation: What `context` was built from.
    """

    def __init__(self, config: NodeConfig, name: str, expect: str) -> None:
        self._expect = frozenset({expect})
        self._age_s_max = config.connection_age_s_max
        self._identity = identity_in_force(config)
        self.generation = self._identity.subscribe(self._take)
        self.context = client_context(self.generation.folder, expect=self._expect)
        self._listed = ClientConnections(name, self.generation)
        self._identity.clients.append(self._listed)

    def leave(self) -> None:
        """Follow the identity no longer; a second time does nothing."""
        self._identity.unsubscribe(self._take)
        if self._listed in self._identity.clients:
            self._identity.clients.remove(self._listed)

    async def _take(self, generation: LoadedGeneration) -> None:
        self.context = client_context(generation.folder, expect=self._expect)
        self.generation = self._listed.generation = generation

    def list_open(self, generation: LoadedGeneration, is_open: Callable[[], bool]) -> None:
        """Put a connection that was just dialled into the report, for as long as `is_open()`."""
        self._listed.add(generation, is_open)

    def is_due(self, generation: LoadedGeneration, opened_at: float) -> bool:
        """Whether it is of an older generation or has had most of its time: begin nothing more on it."""
        return generation is not self.generation or self._has_had(CLOSING_BEGINS_SHARE, opened_at)

    def is_at_bound(self, opened_at: float) -> bool:
        """Whether it must end now, even in the middle of something."""
        return self._has_had(CUT_SHARE, opened_at)

    def left_s(self, opened_at: float) -> float:
        """Seconds until it is due by its age; at least 0."""
        return max(0.0, opened_at + self._age_s_max * CLOSING_BEGINS_SHARE - time.monotonic())

    def _has_had(self, share: float, opened_at: float) -> bool:
        return time.monotonic() - opened_at >= self._age_s_max * share
