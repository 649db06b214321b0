"""The configuration of the fraud service."""

from __future__ import annotations

from services.node.config_file import ListenConfig, NodeConfig, PostgresConfig


class FraudConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.fraud --config FILE` reads.

    Attributes:
        listen: Own listener; only the own sidecar is admitted.
        postgres: The journal and the counters, with user `fraud`.
        rules_file: The signed rules; a new version is renamed over it and taken without a restart.
        rules_trust_file: PEM public keys, Ed25519, of who may sign rules; read at the start only.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    rules_file: str
    rules_trust_file: str
