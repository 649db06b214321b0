"""A configuration as the TOML that its process reads."""

from __future__ import annotations

import json

import msgspec

from services.node.config_file import NodeConfig


def config_text(config: NodeConfig) -> bytes:
    """Strings, numbers and lists have the same spelling in JSON; a structure becomes a table."""
    fields = msgspec.to_builtins(config)
    plain = [f"{k} = {json.dumps(v)}" for k, v in fields.items() if not isinstance(v, dict) and v is not None]
    tables = [
        "\n".join([f"[{k}]", *(f"{name} = {json.dumps(value)}" for name, value in v.items())])
        for k, v in fields.items()
        if isinstance(v, dict)
    ]
    return "\n".join([*plain, *tables]).encode()
