"""Which workloads the mesh declares: the names in `mesh.toml` that need a leaf.

Only names are read here; hops and callers belong to whoever judges hops.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from pki.errors import MeshFileError
from pki.identity import require_name

if TYPE_CHECKING:
    from pathlib import Path


def declared_workloads(path: Path) -> list[str]:
    """Return every `[service.<name>]`, and `<name>-sidecar` where the table says `sidecar = true`.

    Returns:
        Names in the order of the file.

    Raises:
        MeshFileError: the file cannot be read, or declares no service.
        IdentityError: a name is not a workload name.
    """
    try:
        services = tomllib.loads(path.read_text()).get("service")
    except (OSError, ValueError) as fault:
        raise MeshFileError(f"{path} cannot be read as TOML: {fault}") from fault
    if not isinstance(services, dict) or not services:
        raise MeshFileError(f"{path} declares no service: expected tables like [service.gateway]")
    names: list[str] = []
    for name, table in services.items():
        names.append(require_name(name))
        if isinstance(table, dict) and table.get("sidecar") is True:
            names.append(require_name(f"{name}-sidecar"))
    return names
