"""The configuration of this service."""

from __future__ import annotations

from services.node.config_file import ListenConfig, NatsConfig, NodeConfig, PostgresConfig


class ReportingConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.reporting --config FILE` reads.

    Attributes:
        listen: Own listener; the supervisor asks `/healthz` and `/metrics` there, nobody else has a route.
        postgres: Where the counts are kept.
        nats: The bus that facts come from.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    nats: NatsConfig
