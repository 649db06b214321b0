"""What the documents say of the mesh is what mesh.toml says."""

from __future__ import annotations

from compose.derive.hop_table import hop_table
from compose.launcher.release import checkout_root
from compose.mesh import read_mesh


def test_the_table_in_the_architecture_page_is_the_derived_one() -> None:
    page = (checkout_root() / "ARCHITECTURE.md").read_text(encoding="utf-8")

    assert hop_table(read_mesh(checkout_root() / "compose" / "mesh.toml")).strip() in page
