"""What merchants read, wired: the part of the composition root that changes nothing."""

from __future__ import annotations

from gateway.api.accounts import AccountHandlers
from gateway.api.claims import ClaimReadHandlers
from gateway.api.events import EventHandlers
from gateway.api.feed import FeedHandlers
from gateway.api.payment_reads import PaymentReadHandlers
from gateway.api.preferences import WAIT_S_MAX
from gateway.api.resting import Resting
from gateway.api.versions import Versions
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.openapi.handlers import DocumentHandlers
from gateway.store.feed import FeedReads
from gateway.store.hearing import Hearing
from gateway.store.reads import Reads
from gateway.store.waiting import Waiting

# Sidecars end a request after 0.42 of a connection's age; whoever waits is answered before.
WAIT_SHARE = 0.3


def open_resting(reads: Reads, config: GatewayConfig) -> Resting:
    """Return what waits for payments."""
    waiting = Waiting(reads.resting)
    seconds_max = min(WAIT_S_MAX, WAIT_SHARE * config.connection_age_s_max)
    return Resting(waiting=waiting, reads=reads, versions=Versions(), seconds_max=seconds_max)


def follow_feeds(resting: Resting, metrics: Metrics) -> tuple[FeedHandlers, Hearing]:
    """Return the feed's handler, and the loop that tells it of events."""
    feed = FeedReads(resting.reads)
    hearing = Hearing(feed.told_after)
    metrics.waiters.set_function(lambda: resting.waiting.count + hearing.count)
    handlers = FeedHandlers(
        feed=feed, hearing=hearing, versions=resting.versions, seconds_max=resting.seconds_max
    )
    return handlers, hearing


def read_handlers(
    resting: Resting, config: GatewayConfig
) -> tuple[PaymentReadHandlers | ClaimReadHandlers | AccountHandlers | EventHandlers | DocumentHandlers, ...]:
    """Return the handlers of everything else that is read."""
    reads, versions, cell = resting.reads, resting.versions, config.cell
    return (
        PaymentReadHandlers(reads=reads, versions=versions, resting=resting, cell=cell),
        ClaimReadHandlers(reads=reads, versions=versions, cell=cell),
        AccountHandlers(reads=reads, versions=versions, cell=cell),
        EventHandlers(reads=reads, versions=versions, cell=cell),
        DocumentHandlers(config.origins),
    )
