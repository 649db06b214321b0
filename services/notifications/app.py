"""The service on one screen: what is opened, what runs, in which order it stops."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from aiohttp import web

from services.node.errors import ConfigError
from services.node.postgres import open_pool
from services.node.process import until_stopped_or_ended
from services.node.server import serve
from services.node.subscriber import Subscriber
from services.notifications.addresses import parse_allowances
from services.notifications.config import NotificationsConfig
from services.notifications.consumer import subscription
from services.notifications.courier import Courier
from services.notifications.egress import open_egress
from services.notifications.errors import AllowanceMalformed, SealKeyUnusable
from services.notifications.sealing import SecretOpener
from services.notifications.sender import SENDING_MAX, Sender
from services.notifications.store import Pool
from signing import KeyRefused, SigningKey

# The consumer's insert, the sender's claim, the recording, and one to spare.
CONNECTIONS_MAX = 4


def _open_record(config: NotificationsConfig) -> AbstractAsyncContextManager[Pool]:
    return open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX, by_index=True)


async def main(config: NotificationsConfig) -> None:
    """Run until told to stop.

    Raises:
        ConfigError: The key, the trust file or an allowed address cannot be used.
    """
    try:
        allowed = parse_allowances(config.webhook_allowed_addresses)
        key = SigningKey.from_pem(Path(config.webhook_key_file).read_bytes())
        opener = SecretOpener(Path(config.webhook_seal_key_file).read_bytes())
        egress = open_egress(allowed, trust_file=config.webhook_trust_file, connections_max=SENDING_MAX)
    except (AllowanceMalformed, KeyRefused, SealKeyUnusable, OSError) as fault:
        raise ConfigError(f"webhooks cannot be sent: {fault}") from fault
    if key.alg != "ed25519":
        raise ConfigError("webhook_key_file holds no Ed25519 key; receivers could not verify webhooks")

    async with egress, _open_record(config) as pool:
        sender = Sender(pool, Courier(egress, key, opener, allowed).attempt)
        consumer = Subscriber(config, config.nats, subscription(sender.take))
        async with serve(web.Application(), config, config.listen, callers={}, ready=lambda: sender.ready):
            loops = {asyncio.create_task(consumer.run()), asyncio.create_task(sender.run())}
            await until_stopped_or_ended(loops)
