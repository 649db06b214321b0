"""A receiver that fails as it is told to, and remembers in which order it was told of what."""

from __future__ import annotations

from collections import Counter

from aiohttp import web

from services.notifications.schedule import REFUSALS_RETRIED_MAX

# After so many refusals a delivery is given up.
REFUSALS_MAX = REFUSALS_RETRIED_MAX + 1


class Moody:
    """A receiver's answers: each event fails as often as it is told to, or is refused until it dies."""

    def __init__(self, failures: dict[str, int], dying: set[str]) -> None:
        self._failures = dict(failures)
        self._dying = dying
        # What was answered, in order: the event, and the status.
        self.answers: list[tuple[str, int]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        event_id = request.headers["webhook-id"]
        if event_id in self._dying:
            status = 404
        elif self._failures.get(event_id, 0) > 0:
            self._failures[event_id] -= 1
            status = 500
        else:
            status = 204
        self.answers.append((event_id, status))
        return web.Response(status=status)

    def check_order(self) -> None:
        """Fail if an event was sent before the one before it had arrived or died."""
        over: set[str] = set()
        refused: Counter[str] = Counter()
        for event_id, status in self.answers:
            _, payment, sequence = event_id.split("_")
            if int(sequence) > 1:
                assert f"evt_{payment}_{int(sequence) - 1}" in over, (event_id, self.answers)
            refused[event_id] += status == 404
            if status == 204 or refused[event_id] >= REFUSALS_MAX:
                over.add(event_id)
