"""`python -m pki`: the operators' commands in one group.

Every refusal is one sentence that says what to do; `--json` prints one document on standard output.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from pki import report
from pki.commands.authority_commands import init, issue, renew
from pki.commands.backup_commands import backup, restore
from pki.commands.daemon_command import daemon
from pki.commands.reading_commands import inventory, status, verify
from pki.commands.rotation_commands import crl, revoke, rotate
from pki.commands.session import EXIT_BLOCKED, EXIT_CODES
from pki.errors import PKIError, UnconfirmedConsumers

# What a shell reports for a process that SIGPIPE ended.
EXIT_READER_GONE = 141


# A quota and a limit of this process end a write as a full disk does.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _disk_sentence(fault: OSError) -> str:
    said = f"{fault.filename or 'a file'}: {fault.strerror or fault}"
    if fault.errno not in _FULL:
        return said
    return (
        f"the disk is full: {said}; make room, then run the same command again, "
        "or with --resume if `python -m pki status` shows a rotation"
    )


class RefusingGroup(click.Group):
    """Turns this package's refusals into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - the type that click declares
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UnconfirmedConsumers as fault:
            click.echo(f"Blocked: {fault} [{fault.code}]", err=True)
            if "--json" in sys.argv:
                blocked = [{"name": u.name, "place": u.place, "reason": u.reason} for u in fault.unconfirmed]
                report.print_json({"blocked": blocked})
            ctx.exit(EXIT_BLOCKED)
        except BrokenPipeError:
            # Whoever read our output has gone, as `head` does; there is nobody to be told.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_READER_GONE)
        except PKIError as fault:
            raise click.ClickException(f"{fault} [{fault.code}]") from fault
        except OSError as fault:
            raise click.ClickException(_disk_sentence(fault)) from fault


@click.group(cls=RefusingGroup, epilog=EXIT_CODES, context_settings={"max_content_width": 110})
def main() -> None:
    """Certificates of the mesh: make the authority, rotate everything, see what is due."""


@main.group(cls=RefusingGroup, epilog=EXIT_CODES)
def ledger() -> None:
    """Look at the record of every signature."""


for command in (
    init, issue, renew, rotate, revoke, crl, daemon, status, inventory, backup, restore,
):  # fmt: skip
    main.add_command(command)
ledger.add_command(verify)
