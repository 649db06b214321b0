"""The configuration of this service: the file's fields, and what they become after checking."""

from __future__ import annotations

from services.node.config_file import ListenConfig, NatsConfig, NodeConfig, PostgresConfig


class NotificationsConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.notifications --config FILE` reads.

    Attributes:
        listen: Own listener; the supervisor asks `/healthz` there, nobody else has a route.
        postgres: The record of what is owed to whom.
        nats: The bus that events come from.
        webhook_key_file: Ed25519 private key (PEM, PKCS 8) that signs deliveries, closed to other accounts.
        webhook_seal_key_file: X25519 private key (PEM, PKCS 8) that opens secrets, closed likewise.
        webhook_allowed_addresses: Exact `IP:port` that may be non-public; empty but in demonstrations.
        webhook_trust_file: PEM bundle of authorities trusted besides the system's; empty for none.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    nats: NatsConfig
    webhook_key_file: str
    webhook_seal_key_file: str
    webhook_allowed_addresses: tuple[str, ...] = ()
    webhook_trust_file: str = ""
