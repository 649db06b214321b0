"""The configuration of the engine, and the deadlines and limits that depend on each other."""

from __future__ import annotations

from datetime import timedelta

from services.banks.messages import BANK_CALL_S_MAX
from services.node.config_file import EgressConfig, ListenConfig, NatsConfig, NodeConfig, PostgresConfig
from services.node.hop_client import CONNECTIONS_MAX

# The connector's own deadline plus a second for two sidecars and a busy host.
HOP_CALL_S_MAX = 4.0
# A lease covers the longest piece of work, a question followed by sending again, and the recording of it.
LEASE = timedelta(seconds=12)
RECORD_S_MIN = 2.0
# Bulkheads of one bank: first attempts on one side, overdue ones on the other, so that neither starves the
# other and a bank that is away fills its own only.
SENDS_PER_BANK_MAX = 96
REDRIVES_PER_BANK_MAX = 32
# Below this much room a bank gets no new payments: it is slow, and the others have room.
ROOM_MIN = 32
# The knee of throughput was measured at batches of 64 to 128.
CLAIM_PAYMENTS_MAX = 128
CLAIM_ACCOUNTS_MAX = 128

assert BANK_CALL_S_MAX < HOP_CALL_S_MAX
assert LEASE.total_seconds() > 2 * HOP_CALL_S_MAX + RECORD_S_MIN
# A call that waited for a connection would spend its deadline, and its lease, on waiting.
assert SENDS_PER_BANK_MAX + REDRIVES_PER_BANK_MAX <= CONNECTIONS_MAX


class PaymentsConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.payments --config FILE` reads.

    Attributes:
        listen: Own listener; the supervisor asks `/healthz` and `/metrics` there, nobody else has a route.
        postgres: The record.
        nats: The bus that events are published to.
        banks: The own sidecar's way out to the banks service.
        fraud: The own sidecar's way out to the fraud service.
        bank_names: The banks that payments may be routed to, at least one.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    nats: NatsConfig
    banks: EgressConfig
    fraud: EgressConfig
    bank_names: list[str]
