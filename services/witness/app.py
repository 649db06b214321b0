"""The witness's API over mutual TLS: `POST /add-checkpoint`, and nothing else.

Promises: what it cosigned is durable before the line leaves; requests are judged one after the other.
Source: C2SP tlog-witness v1.0.0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from services.node.config_file import ListenConfig, NodeConfig
from services.node.process import until_stopped
from services.node.server import serve
from services.witness.judgement import Refuse, judge, origin_of
from services.witness.memory import Memory
from services.witness.messages import ADD_CHECKPOINT_PATH, SIZE_MEDIA_TYPE
from signing import SigningKey
from signing.evidence.checkpoint import REQUEST_BYTES_MAX
from signing.evidence.note import cosign
from signing.evidence.trust import NamedKey, parse_trust

CALLERS = {ADD_CHECKPOINT_PATH: frozenset({"evidence"})}


class WitnessConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.witness --config FILE` reads.

    Attributes:
        listen: Own listener.
        witness_name: The name under which it signs.
        witness_key_file: PEM private key, Ed25519, that cosigns; used for nothing else.
        trust_file: Public keys with their roles; the logs that it follows are taken from it.
    """

    listen: ListenConfig
    witness_name: str
    witness_key_file: str
    trust_file: str


class Witness:
    """The handler of one witness.

    Args:
        name: Under which it signs.
        key: Ed25519.
        logs: The logs that it follows.
        memory: What it has cosigned.
        now: Seconds since the epoch, UTC.
    """

    def __init__(
        self,
        name: str,
        key: SigningKey,
        logs: tuple[NamedKey, ...],
        memory: Memory,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._key = key
        self._logs = logs
        self._memory = memory
        self._now = now
        self._turn = asyncio.Lock()

    def build_app(self) -> web.Application:
        """The witness's one route."""
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_post(ADD_CHECKPOINT_PATH, self._add_checkpoint)
        return app

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        body = await request.read()
        origin = origin_of(body)
        if origin is None:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        async with self._turn:
            verdict = judge(body, self._logs, self._memory.recall(origin))
            if isinstance(verdict, Refuse):
                return _refusal(verdict)
            if verdict.seen != verdict.before:
                await asyncio.to_thread(self._memory.remember, verdict.origin, verdict.seen)
            line = cosign(verdict.body, self._name, self._key, int(self._now()))
        return web.Response(text=line, content_type="text/plain", charset="utf-8")


def _refusal(verdict: Refuse) -> web.Response:
    if verdict.status is HTTPStatus.CONFLICT:
        return web.Response(status=verdict.status, body=b"%d\n" % verdict.size, content_type=SIZE_MEDIA_TYPE)
    return web.Response(status=verdict.status)


async def main(config: WitnessConfig) -> None:
    """Serve until stopped."""
    key = SigningKey.from_pem(Path(config.witness_key_file).read_bytes())
    trust = parse_trust(Path(config.trust_file).read_bytes())
    memory = Memory(Path(config.state_dir) / "witness.sqlite")
    try:
        witness = Witness(config.witness_name, key, trust.logs, memory)
        async with serve(witness.build_app(), config, config.listen, callers=CALLERS, behind_sidecar=False):
            await until_stopped()
    finally:
        memory.close()
