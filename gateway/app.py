"""The composition root: everything the gateway is made of, wired on one screen."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.access.accesses import AccessLog
from gateway.access.admission import Admission
from gateway.access.authenticate import Authenticator
from gateway.access.merchants import AccountDirectory, KeyDirectory
from gateway.access.refusals import RefusalLog
from gateway.access.replay import ReplayMemory
from gateway.access.self_test import require_working_verification
from gateway.access.shared_rates import SharedBuckets, SharedRates
from gateway.access.tokens import TokenReader
from gateway.api.answers import answering
from gateway.api.evidence import EvidenceHandlers
from gateway.api.instruments import InstrumentHandlers
from gateway.api.key_commands import KeyCommandHandlers
from gateway.api.keys import KeyHandlers
from gateway.api.payment_commands import PaymentCommandHandlers
from gateway.api.payments import DUPLICATE_FORM, PaymentHandlers
from gateway.api.performing import Performing
from gateway.api.refunds import RefundHandlers
from gateway.api.resting import Resting
from gateway.api.routes import CALLERS, add_routes
from gateway.api.tokens import TokenHandlers
from gateway.api.webhook_deliveries import DeliveryHandlers
from gateway.api.webhook_endpoints import WebhookEndpointHandlers
from gateway.api.webhook_reads import WebhookReadHandlers
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.readiness import Readiness
from gateway.reading import follow_feeds, open_resting, read_handlers
from gateway.store.accesses import AccessStore
from gateway.store.audit import AuditStore
from gateway.store.commands import Commands
from gateway.store.evidence import EvidenceStore
from gateway.store.payments import Payments
from gateway.store.published_log import PublishedLog
from gateway.store.reads import Reads
from gateway.store.registry import Registry
from gateway.store.retention import Retention
from gateway.store.revocations import CONNECTIONS_MAX as LISTENING_MAX
from gateway.store.revocations import Revocations
from gateway.store.tokens import Tokens
from gateway.store.webhooks import WebhookReads
from services.node.cache import open_redis
from services.node.hop_client import HopClient
from services.node.identifiers import RANDOM_BITS, new_id
from services.node.postgres import open_pool
from services.node.process import until_stopped
from services.node.server import serve
from services.notifications.sealing import SecretSealer
from services.vault.client import VaultClient
from services.vault.messages import KEEPING_CALL_S_MAX
from signing import SigningKey, keys_from_jwks, keys_to_jwks
from signing.evidence.trust import parse_trust
from signing.profile import BODY_BYTES_MAX

# One connection writes payments, one the audit; the rest serves reads. More workers, not more of these.
CONNECTIONS_MAX = 8
# The vault's own deadline plus half a second for two sidecars and a busy host.
VAULT_CALL_S_MAX = KEEPING_CALL_S_MAX + 0.5
# The edge asks every half second whether a gateway is ready, and believes the first no; one question may be
# late. See compose/derive/envoy.py.
EDGE_NOTICES_S = 1.2


async def main(config: GatewayConfig) -> None:
    """Serve until stopped, then answer what is under way and write what was counted."""
    require_working_verification(now=int(time.time()))
    receipt_key, jwks = _keys(config)
    sealer = SecretSealer(Path(config.webhook_seal_file).read_bytes())
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        opening = open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX)
        pool = await stack.enter_async_context(opening)
        cache = open_redis(config, config.redis)
        stack.push_async_callback(cache.aclose)
        registry, payments = Registry(pool), Payments(pool, DUPLICATE_FORM)
        commands, tokens = Commands(pool), Tokens(pool)
        readiness = Readiness(pool, cache.ping, receipt_key, keys_from_jwks(jwks)[receipt_key.key_id])
        keys = KeyDirectory(registry.find_keys, time.monotonic)
        revocations = await stack.enter_async_context(_hearing(config, keys))
        retention = Retention((payments.prune, commands.prune, tokens.prune))
        evidence = EvidenceStore(pool)
        published = PublishedLog(evidence, time.monotonic)
        refusals = RefusalLog(AuditStore(pool).append, evidence.record_refusals, time.monotonic)
        accesses = _accesses(AccessStore(pool), metrics, config.cell)
        replays = ReplayMemory(cache, time.monotonic, metrics.reads_unremembered.inc)
        admission = Admission(config.limits)
        rates = SharedRates(SharedBuckets(cache), admission.limiters, metrics.rates_untold.inc)
        authenticator, token_reader = _recognising(config, keys, tokens, replays, admission)
        app = _application(
            answering(
                authenticator=authenticator,
                tokens=token_reader,
                admission=admission,
                refusals=refusals,
                accesses=accesses,
                receipt_key=receipt_key,
                metrics=metrics,
                cell=config.cell,
            )
        )
        resting = open_resting(Reads(pool), config)
        following, hearing = follow_feeds(resting, metrics)
        vault = await stack.enter_async_context(_open_vault(config))
        performing = Performing(commands, receipt_key)
        handlers = (
            _paying(payments, receipt_key, metrics, resting, config.cell),
            *_acting(performing, payments, registry, vault, config.cell),
            *read_handlers(resting, config),
            following,
            *_webhooks(performing, resting, sealer, config.cell),
            TokenHandlers(tokens),
            KeyHandlers(registry=registry, receipt_key=receipt_key, jwks=jwks),
            _proving(evidence, published, receipt_key, config),
        )
        add_routes(app, [bound for each in handlers for bound in each.bound()], metrics)
        for part in (payments, keys, refusals, accesses, published):
            stack.push_async_callback(part.close)
        loops = (readiness, refusals, accesses, revocations, retention, resting.waiting, hearing, rates)
        await stack.enter_async_context(_in_background(*(part.run for part in loops)))
        await stack.enter_async_context(
            serve(
                app,
                config,
                config.listen,
                callers=CALLERS,
                ready=lambda: readiness.ready,
                checks=readiness.found,
                notice_s=EDGE_NOTICES_S,
            )
        )
        await until_stopped()
        resting.waiting.stop()
        hearing.stop()


def _keys(config: GatewayConfig) -> tuple[SigningKey, bytes]:
    """The key that signs answers, and the document of every public key that merchants need."""
    receipt_key = SigningKey.from_pem(Path(config.receipt_key_file).read_bytes())
    webhook_keys = keys_from_jwks(Path(config.webhook_jwks_file).read_bytes())
    jwks = keys_to_jwks({receipt_key.key_id: receipt_key.verifying_key, **webhook_keys}.values())
    return receipt_key, jwks


def _recognising(
    config: GatewayConfig, keys: KeyDirectory, tokens: Tokens, replays: ReplayMemory, admission: Admission
) -> tuple[Authenticator, TokenReader]:
    origins = frozenset(config.origins)
    signed = Authenticator(origins=origins, keys=keys, replays=replays, admission=admission, cell=config.cell)
    shown = TokenReader(
        tokens.find,
        time.monotonic,
        origins=origins,
        keys=keys,
        replays=replays,
        admission=admission,
        cell=config.cell,
    )
    return signed, shown


def _application(answer: Middleware) -> web.Application:
    # aiohttp refuses a body that reaches its bound.
    return web.Application(client_max_size=BODY_BYTES_MAX + 1, middlewares=[answer])


def _accesses(store: AccessStore, metrics: Metrics, cell: str) -> AccessLog:
    now_ms = time.time_ns() // 1_000_000
    writer = new_id("acc", cell, now_ms=now_ms, random_bits=secrets.randbits(RANDOM_BITS))
    accesses = AccessLog(store.record, writer, metrics.accesses_dropped.inc)
    metrics.accesses_waiting.set_function(lambda: accesses.waiting)
    return accesses


def _paying(
    payments: Payments, receipt_key: SigningKey, metrics: Metrics, resting: Resting, cell: str
) -> PaymentHandlers:
    return PaymentHandlers(
        payments=payments,
        accounts=AccountDirectory(payments.accounts_of, time.monotonic),
        receipt_key=receipt_key,
        metrics=metrics,
        resting=resting,
        cell=cell,
    )


def _acting(
    performing: Performing, payments: Payments, registry: Registry, vault: VaultClient, cell: str
) -> tuple[InstrumentHandlers | PaymentCommandHandlers | RefundHandlers | KeyCommandHandlers, ...]:
    return (
        InstrumentHandlers(vault=vault, performing=performing, cell=cell),
        PaymentCommandHandlers(performing=performing, cell=cell),
        RefundHandlers(payments=payments, performing=performing, cell=cell),
        KeyCommandHandlers(registry=registry, performing=performing),
    )


def _proving(
    evidence: EvidenceStore, published: PublishedLog, receipt_key: SigningKey, config: GatewayConfig
) -> EvidenceHandlers:
    return EvidenceHandlers(
        evidence=evidence,
        published=published,
        receipt_key=receipt_key,
        trust=parse_trust(Path(config.trust_file).read_bytes()),
        cell=config.cell,
    )


def _webhooks(
    performing: Performing, resting: Resting, sealer: SecretSealer, cell: str
) -> tuple[WebhookReadHandlers | WebhookEndpointHandlers | DeliveryHandlers, ...]:
    webhooks = WebhookReads(resting.reads)
    return (
        WebhookReadHandlers(webhooks=webhooks, versions=resting.versions, cell=cell),
        WebhookEndpointHandlers(webhooks=webhooks, performing=performing, sealer=sealer, cell=cell),
        DeliveryHandlers(webhooks=webhooks, performing=performing, cell=cell),
    )


@asynccontextmanager
async def _hearing(config: GatewayConfig, keys: KeyDirectory) -> AsyncIterator[Revocations]:
    """On connections of its own, so that a busy pool keeps nobody from hearing."""
    async with open_pool(config, config.postgres, connections_max=LISTENING_MAX) as pool:
        yield Revocations(pool, keys, config.connection_age_s_max)


@asynccontextmanager
async def _open_vault(config: GatewayConfig) -> AsyncIterator[VaultClient]:
    """The vault through the own sidecar; nothing is connected before the first instrument comes."""
    hop = HopClient(config, config.vault, timeout_s=VAULT_CALL_S_MAX, believes_unsent=True, callee="vault")
    await hop.start()
    try:
        yield VaultClient(hop)
    finally:
        await hop.close()


@asynccontextmanager
async def _in_background(*loops: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run loops beside the server; if one fails, so does the process, and whoever started it hears of it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop()) for loop in loops]
        yield
        for task in tasks:
            task.cancel()
