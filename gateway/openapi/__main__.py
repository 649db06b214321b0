"""`python -m gateway.openapi`: print what merchants may ask, as a list, as the document, or as the page."""

from __future__ import annotations

import json

import click

from gateway.api.surface import OPERATIONS
from gateway.openapi.document import build_document, tag_of
from gateway.openapi.page import api_page
from gateway.openapi.responses import statuses_of


@click.command(epilog="Exit codes: 0 printed, 2 wrong usage.")
@click.option("--json", "as_json", is_flag=True, help="Print the OpenAPI 3.1 document.")
@click.option("--html", "as_html", is_flag=True, help="Print the page.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="A public origin of the gateway.")
def main(*, as_json: bool, as_html: bool, origins: tuple[str, ...]) -> None:
    """Print the merchants' interface, made from what the code declares."""
    if as_json and as_html:
        raise click.UsageError("--json or --html, one of them")
    if as_json:
        click.echo(json.dumps(build_document(origins), ensure_ascii=False, indent=2))
    elif as_html:
        click.echo(api_page(build_document(origins)), nl=False)
    else:
        click.echo("\n".join(_lines()))


def _lines() -> list[str]:
    """A line for each operation, under its group: method, path, scope, statuses."""
    groups: dict[str, list[str]] = {}
    for operation in OPERATIONS:
        scope = operation.scope.value if operation.scope else ("any" if operation.signed else "public")
        answers = " ".join(map(str, sorted(statuses_of(operation))))
        line = f"  {operation.method:6} {operation.path:50} {scope:12} {answers}"
        groups.setdefault(tag_of(operation), []).append(line)
    return [line for group, lines in groups.items() for line in (group, *lines)]


if __name__ == "__main__":
    main(prog_name="python -m gateway.openapi")
