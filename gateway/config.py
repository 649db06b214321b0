"""What the gateway's configuration file says beyond what every process has."""

from __future__ import annotations

from services.node.config_file import EgressConfig, ListenConfig, NodeConfig, PostgresConfig, RedisConfig


class GatewayConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The configuration of one gateway process.

    Attributes:
        listen: the own listener; the own sidecar is the only peer.
        postgres: the record.
        redis: the memory of reads; it may be away.
        origins: the public origins, `https://host` or `https://host:port`; a request signed for any other is
            refused, so an origin missing here refuses its merchants.
        receipt_key_file: PEM private key that signs every answer; readable by this service alone.
        webhook_jwks_file: JWKS with the public keys that sign webhooks, published beside the receipt key.
        trust_file: public keys with their roles (gateway, log, witness); they go into bundles of evidence.
        vault: the way out to the vault, for instruments.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    redis: RedisConfig
    origins: list[str]
    receipt_key_file: str
    webhook_jwks_file: str
    trust_file: str
    vault: EgressConfig


class OperatorConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The configuration of the operator's command: its own identity and role.

    Attributes:
        postgres: the record, with user `operator`.
    """

    postgres: PostgresConfig
