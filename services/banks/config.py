"""The configuration of the connectors."""

from __future__ import annotations

from typing import Literal, TypeAlias

from services.node.config_file import EgressConfig, ListenConfig, NodeConfig, PostgresConfig

RailName: TypeAlias = Literal["json", "card"]


class BankConfig(EgressConfig, frozen=True, forbid_unknown_fields=True):
    """One bank: where it listens, the SPIFFE id that it must prove, and whose words it speaks."""

    rail: RailName = "json"


class BanksConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.banks --config FILE` reads.

    Attributes:
        listen: Own listener; only the own sidecar is admitted.
        banks: Bank name to how it is reached; these names may also tell us things.
        postgres: Where what they tell is kept.
        vault: The way out to the vault, which alone knows what its tokens stand for.
    """

    listen: ListenConfig
    banks: dict[str, BankConfig]
    postgres: PostgresConfig
    vault: EgressConfig
