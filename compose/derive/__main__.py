"""Print what follows from mesh.toml: the Compose file, the policy, the table of hops, the image's accounts.

Reading mesh.toml and comparing with the committed file is all the I/O there is.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from compose.derive.compose_file import compose_text
from compose.derive.container_places import passwd_lines
from compose.derive.hop_table import hop_table
from compose.derive.policy_file import policy_text
from compose.mesh import Mesh, MeshError, read_mesh

_FOLDER = Path(__file__).resolve().parents[1]
_DEFAULT_MESH = _FOLDER / "mesh.toml"
_EPILOG = "Exit codes: 0 done, 1 the committed file differs, 2 wrong usage, 3 mesh.toml is not a mesh."


@click.group(epilog=_EPILOG)
@click.option(
    "--mesh", "mesh_file", type=click.Path(path_type=Path), default=_DEFAULT_MESH, help="Another mesh.toml."
)
@click.pass_context
def main(context: click.Context, mesh_file: Path) -> None:
    """Print what follows from compose/mesh.toml."""
    try:
        context.obj = read_mesh(mesh_file)
    except MeshError as fault:
        click.echo(f"compose.derive: {fault}", err=True)
        sys.exit(3)


@main.command("compose-file", epilog=_EPILOG)
@click.option("--check", is_flag=True, help="Print nothing but differences to the committed compose.yaml.")
@click.option("--file", type=click.Path(path_type=Path), default=_FOLDER / "compose.yaml", hidden=True)
@click.pass_obj
def print_compose_file(mesh: Mesh, *, check: bool, file: Path) -> None:
    """Print the Compose file, or check the committed one."""
    _print_or_check(compose_text(mesh), file if check else None, "compose-file > compose/compose.yaml")


@main.command("policy", epilog=_EPILOG)
@click.option("--check", is_flag=True, help="Print nothing but differences to the committed policy.")
@click.option(
    "--file", type=click.Path(path_type=Path), default=_FOLDER.parent / "certs" / "policy.toml", hidden=True
)
@click.pass_obj
def print_policy(mesh: Mesh, *, check: bool, file: Path) -> None:
    """Print the policy of issuance for review, or check the committed one."""
    _print_or_check(policy_text(mesh), file if check else None, "policy > certs/policy.toml")


def _print_or_check(text: str, file: Path | None, mended_by: str) -> None:
    if file is None:
        click.echo(text, nl=False)
        return
    committed = file.read_text(encoding="utf-8") if file.exists() else ""
    if committed != text:
        lines = difflib.unified_diff(committed.splitlines(), text.splitlines(), "committed", "derived", n=1)
        click.echo("\n".join(line.rstrip("\n") for line in lines))
        click.echo(f"{file.name} differs: run `python -m compose.derive {mended_by}`", err=True)
        sys.exit(1)


@main.command("table", epilog=_EPILOG)
@click.pass_obj
def print_table(mesh: Mesh) -> None:
    """Print the hops as a Markdown table."""
    click.echo(hop_table(mesh), nl=False)


@main.command("accounts", epilog=_EPILOG)
@click.pass_obj
def print_accounts(mesh: Mesh) -> None:
    """Print the lines that the image's /etc/passwd needs."""
    click.echo(passwd_lines(mesh), nl=False)


if __name__ == "__main__":
    main(prog_name="python -m compose.derive")
