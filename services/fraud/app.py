"""The service on one screen: what is opened, what runs, and what is answered when it cannot decide."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import msgspec
import prometheus_client
from aiohttp import web

from services.fraud import counters
from services.fraud.config import FraudConfig
from services.fraud.errors import FraudError
from services.fraud.messages import (
    MESSAGE_BYTES_MAX,
    SCREENING_CALL_S_MAX,
    SCREENINGS_PATH,
    Screenings,
    Verdicts,
)
from services.fraud.rule_file import parse_pinned_keys
from services.fraud.rules_in_force import RulesInForce
from services.fraud.screener import Screener, Unanswered
from services.fraud.store import FORGET_ROWS_MAX, Store
from services.fraud.velocity import GRAINS_S, forgotten_before_s
from services.node.crash_points import reach
from services.node.errors import ConfigError
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY, open_pool
from services.node.process import cancel_until_heard, until_stopped
from services.node.server import serve

# One for the batch, one for the old buckets, one to spare.
CONNECTIONS_MAX = 3
FORGET_EVERY_S = 60.0  # A bucket is a minute at the shortest.
CALLERS = {SCREENINGS_PATH: frozenset({"payments-sidecar"}), "/metrics": frozenset({"supervisor"})}
_SCREENER: web.AppKey[Screener] = web.AppKey("screener", Screener)

_log = get_log("fraud")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Screenings, strict=True)


def build_app(screener: Screener) -> web.Application:
    """The routes of this service over a screener that runs."""
    app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
    app[_SCREENER] = screener
    app.router.add_post(SCREENINGS_PATH, _screen)
    app.router.add_get("/metrics", _metrics)
    return app


async def main(config: FraudConfig) -> None:
    """Screen until stopped.

    Raises:
        ConfigError: The pinned keys or the rules cannot be used.
        RulesRolledBack: Newer rules have been used before.
    """
    async with open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX) as pool:
        store = Store(pool)
        try:
            trusted = parse_pinned_keys(Path(config.rules_trust_file).read_bytes())
            rules = RulesInForce(Path(config.rules_file), trusted, store)
        except (FraudError, OSError) as fault:
            raise ConfigError(f"payments cannot be screened: {fault}") from fault
        screener = Screener(store, rules)
        async with (
            serve(build_app(screener), config, config.listen, callers=CALLERS, ready=lambda: rules.adopted),
            asyncio.TaskGroup() as group,
        ):
            loops = [group.create_task(loop) for loop in (_follow(rules), screener.run(), _forget(store))]
            await until_stopped()
            await cancel_until_heard(loops)


async def _follow(rules: RulesInForce) -> None:
    await rules.adopt_first()
    await rules.run()


async def _forget(store: Store) -> None:
    """Delete old buckets, a slice at a time, so that the counters stay as small as their windows."""
    while True:
        try:
            for grain_s in GRAINS_S:
                before_s = forgotten_before_s(grain_s, datetime.now(UTC))
                while await store.forget(grain_s, before_s) == FORGET_ROWS_MAX:
                    pass
        except DATABASE_AWAY as fault:
            _log.warning("old counters wait for the database", fault=type(fault).__name__)
        await asyncio.sleep(FORGET_EVERY_S)


async def _screen(request: web.Request) -> web.Response:
    try:
        items = _decoder.decode(await request.read()).items
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return web.json_response({"code": "screening-malformed"}, status=HTTPStatus.BAD_REQUEST)
    reach("fraud.screening_taken")
    try:
        async with asyncio.timeout(SCREENING_CALL_S_MAX):
            verdicts = await request.app[_SCREENER].screen(items)
    except (Unanswered, TimeoutError) as fault:
        reason = str(fault) or "late"
        counters.HELD.labels(reason).inc()
        return web.json_response({"code": reason}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return web.Response(body=_encoder.encode(Verdicts(verdicts)), content_type="application/json")


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )
