"""Liveness and readiness of one process, told apart.

`/healthz/live` answers while the loop turns: whoever restarts processes asks it, and a store that is away is
no reason to restart. `/healthz` and `/healthz/ready` say whether requests should be sent here, and what that
was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

HEALTH_PATH = "/healthz"
LIVE_PATH = f"{HEALTH_PATH}/live"
READY_PATH = f"{HEALTH_PATH}/ready"


class Health:
    """Answers both questions.

    Args:
        ready: whether requests should be sent here.
        checks: what is known about each thing that it depends on, by name; `ok`, or what is wrong in a word.
    """

    def __init__(self, ready: Callable[[], bool], checks: Callable[[], Mapping[str, str]]) -> None:
        self._ready = ready
        self._checks = checks
        self._draining = False

    def add_routes(self, app: web.Application) -> None:
        """Add the routes to an application; who may ask is for the caller list to say."""
        app.router.add_get(LIVE_PATH, self._show_live)
        for path in (HEALTH_PATH, READY_PATH):
            app.router.add_get(path, self._show_ready)

    def drain(self) -> None:
        """Say no from now on."""
        self._draining = True

    async def _show_live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _show_ready(self, _: web.Request) -> web.Response:
        status, ready = self._status()
        return web.json_response(
            {"status": status, "checks": dict(self._checks())}, status=200 if ready else 503
        )

    def _status(self) -> tuple[str, bool]:
        if self._draining:
            return "draining", False
        if not self._ready():
            return "unready", False
        return ("ready" if all(found == "ok" for found in self._checks().values()) else "degraded"), True
