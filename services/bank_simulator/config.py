"""What a simulated bank starts from."""

from __future__ import annotations

from typing import Literal

from services.bank_simulator.script import BankScript
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig


class BankSimulatorConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.bank_simulator --config FILE` reads; the bank is called `name`.

    Attributes:
        rail: `json` is our own words in minor units, `card` the card network's own messages.
        callbacks: Where the banks service takes callbacks; None: nothing is told.
        script: In force until another one is given.
    """

    listen: ListenConfig
    rail: Literal["json", "card"] = "json"
    callbacks: EgressConfig | None = None
    script: BankScript = BankScript()
