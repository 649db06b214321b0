"""`pki backup` and `restore`: the authority in one sealed file, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from pki import report
from pki.backup import backup as write_backup
from pki.backup import restore as restore_backup
from pki.commands.session import EXIT_CODES, Session, session_options
from pki.durable_files import read_file
from pki.exposure import require_private
from pki.passphrase import read_passphrase

_WHOSE = "the backup"


@click.command(epilog=EXIT_CODES)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@session_options(consumers=False)
def backup(*, out: Path, session: Session) -> None:
    """Write everything but the workloads' keys into one new file, sealed under a passphrase of its own."""
    require_private(session.certs)
    passphrase = read_passphrase(session.passphrase_fd, confirm=True, whose=_WHOSE)
    written = write_backup(session.certs, out, passphrase, datetime.now(UTC))
    if session.as_json:
        report.print_json(
            {
                "file": str(out),
                "sha256": written.sha256,
                "ledger_lines": written.head.ledger_lines,
                "ledger_head": written.head.ledger_head,
                "keys": dict(written.custody),
            }
        )
        return
    print(f"{out} holds the authority of {written.head.trust_domain}; SHA-256 {written.sha256}")
    print(f"the ledger in it has {written.head.ledger_lines} lines, head {written.head.ledger_head}")
    for authority, custody in sorted(written.custody.items()):
        print(f"  {authority} opens with: {custody}, which is not in the file")


@click.command(epilog=EXIT_CODES)
@click.argument("source", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--crl",
    "lists",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="A revocation list from elsewhere, PEM; those of live generations here are found without.",
)
@click.option("--no-lists", is_flag=True, help="Go on although no revocation list is left anywhere.")
@session_options(consumers=False)
def restore(*, source: Path, lists: tuple[Path, ...], no_lists: bool, session: Session) -> None:
    """Put a backup's authority in force, where there is none, without forgetting any revocation."""
    found = [*lists, *sorted(session.certs.glob("live/*/gen-*/crl.pem"))]
    if not found and not no_lists:
        raise click.UsageError(
            "what was revoked since the backup is on revocation lists alone, and none is here: give each "
            "that is left with --crl (every running workload has one), or say --no-lists if none is"
        )
    passphrase = read_passphrase(session.passphrase_fd, confirm=False, whose=_WHOSE)
    restored = restore_backup(
        source,
        session.certs,
        passphrase,
        [read_file(path) for path in found],
        now=datetime.now(UTC),
        by=session.attribution(),
    )
    recorded = [
        {"serial": entry.serial, "issuer": entry.issuer, "subject": entry.subject, "reason": entry.reason}
        for entry in restored.lists.unrecorded
    ]
    if session.as_json:
        report.print_json(
            {
                "trust_domain": restored.head.trust_domain,
                "created": restored.head.created,
                "ledger_head": restored.head.ledger_head,
                "keys": dict(restored.custody),
                "lists_read": [str(path) for path in found],
                "revocations_recorded": recorded,
                "foreign_lists": list(restored.lists.foreign),
            }
        )
        return
    print(f"{session.certs} is the authority of {restored.head.trust_domain} as of {restored.head.created}")
    print(
        f"the ledger's head in the backup was {restored.head.ledger_head}: compare it with what was published"
    )
    for entry in recorded:
        subject = entry["subject"] or "a certificate issued after the backup"
        print(f"revoked, and now on the record: {entry['serial']}  {subject}  {entry['reason']}")
    for issuer in restored.lists.foreign:
        print(f"not used: a revocation list of {issuer}, which is no CA here")
    print("sign the lists anew with `python -m pki crl`, and see `python -m pki status` for what is due")
