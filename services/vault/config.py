"""The configuration of the vault."""

from __future__ import annotations

from services.node.config_file import ListenConfig, NodeConfig, PostgresConfig


class VaultConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.vault --config FILE` reads.

    Attributes:
        listen: Own listener; only the own sidecar is admitted.
        postgres: Seals, wrapped keys and the journal, with user `vault`.
        cell_key_file: The cell keys; readable by this service alone, read again when it changes.
    """

    listen: ListenConfig
    postgres: PostgresConfig
    cell_key_file: str
