"""The configuration of the connector."""

from __future__ import annotations

from services.node.config_file import EgressConfig, ListenConfig, NodeConfig


class BanksConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.banks --config FILE` reads.

    Attributes:
        listen: Own listener; only the own sidecar is admitted.
        banks: Bank name to where it listens and the SPIFFE id it must prove.
    """

    listen: ListenConfig
    banks: dict[str, EgressConfig]
