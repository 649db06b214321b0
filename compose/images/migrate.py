"""Run the migrations that have not run yet, as the migrator, then end: services start after it.

Exit codes: 0 the schemas are up to date, 1 a migration failed or the server did not answer in time.
"""

from __future__ import annotations

import asyncio
import sys

from compose.derive.container_places import places_in_containers
from compose.launcher.databases import migrate_schemas
from compose.launcher.errors import StartError
from compose.launcher.release import checkout_root
from compose.mesh import read_mesh

MIGRATE_S_MAX = 60.0  # A cold first start creates every table.


async def _migrate() -> list[str]:
    root = checkout_root()
    mesh = read_mesh(root / "compose" / "mesh.toml")
    async with asyncio.timeout(MIGRATE_S_MAX):
        return await migrate_schemas(mesh, places_in_containers(mesh), root)


def main() -> int:
    """Run as a command and return its exit code."""
    try:
        ran = asyncio.run(_migrate())
    except StartError as fault:
        print(f"migrate: {fault}", file=sys.stderr)
        return 1
    except TimeoutError:
        print("migrate: PostgreSQL does not answer: see 'docker compose logs postgres'", file=sys.stderr)
        return 1
    print(f"{len(ran)} migrations ran" if ran else "the schemas are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
