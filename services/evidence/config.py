"""The configuration of the evidence log."""

from __future__ import annotations

from services.node.config_file import EgressConfig, ListenConfig, NodeConfig, PostgresConfig


class EvidenceConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.evidence --config FILE` reads.

    Attributes:
        listen: Own listener; the supervisor asks `/healthz` and `/metrics` there, nobody else has a route.
        postgres: The record, with user `evidence`.
        log_name: The log's name, which is also the origin of its checkpoints.
        log_key_file: PEM private key, Ed25519, that signs checkpoints; readable by this service alone.
        trust_file: Public keys with their roles; the witnesses' are taken from it.
        witnesses: Witness name, as in the trust file, to the way to it; may be empty.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    log_name: str
    log_key_file: str
    trust_file: str
    witnesses: dict[str, EgressConfig]
