"""The commands of people who act as operators: `python -m services.payments NAME --config FILE …`.

Each group is imported when it is called: the engine's own process needs none of them.
"""

from __future__ import annotations

from importlib import import_module

import click

# Name to the module that has a group of that name.
GROUPS = {
    "aside": "services.payments.aside_command",
    "ask": "services.payments.ask_command",
    "banks": "services.payments.banks_command",
    "reconcile": "services.payments.reconcile_command",
    "review": "services.payments.review_command",
}


class _Groups(click.Group):
    """Knows the groups that are there, and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in sorted(GROUPS) if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's form
        if cmd_name not in GROUPS:
            return None
        try:
            group = getattr(import_module(GROUPS[cmd_name]), cmd_name)
        except ModuleNotFoundError as fault:
            if fault.name != GROUPS[cmd_name]:
                raise
            return None
        assert isinstance(group, click.Command)
        return group


@click.group(cls=_Groups, epilog="Without a command and with --config FILE this is the engine itself.")
def payments() -> None:
    """What people decide about payments, each under the own certificate."""
