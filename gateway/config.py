"""What the gateway's configuration file says beyond what every process has."""

from __future__ import annotations

import msgspec

from services.node.config_file import EgressConfig, ListenConfig, NodeConfig, PostgresConfig, RedisConfig


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often who may ask; each number lies between 1 and a million.

    Attributes:
        merchant_per_s: requests a second of one merchant, lasting. A very large payment company sees 1,000
            a second from all its merchants together.
        merchant_burst: requests at once of one merchant: two seconds' worth.
        source_per_s: requests a second from one address whose sender is not recognised. A client with a wrong
            key or clock repeats itself a few times a second; it shares the address with others.
        source_burst: the same at once.
    """

    merchant_per_s: int = 200
    merchant_burst: int = 400
    source_per_s: int = 50
    source_burst: int = 100


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
        webhook_seal_file: X25519 public key (PEM) that endpoints' secrets are sealed to.
        trust_file: public keys with their roles (gateway, log, witness); they go into bundles of evidence.
        vault: the way out to the vault, for instruments.
        limits: how often who may ask.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    redis: RedisConfig
    origins: list[str]
    receipt_key_file: str
    webhook_jwks_file: str
    webhook_seal_file: str
    trust_file: str
    vault: EgressConfig
    limits: LimitsConfig = LimitsConfig()


class OperatorConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The configuration of the operator's command: its own identity and role.

    Attributes:
        postgres: the record, with user `operator`.
    """

    postgres: PostgresConfig
