"""`pki daemon`: renewals, lists and confirmations without an operator, with metrics, events and alerts."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Final

import click

from pki.authority_making import open_authority
from pki.certificate_files import CertificateTree
from pki.commands.session import EXIT_CODES, certs_option, passphrase_option, policy_option
from pki.consumers.access import ROTATION
from pki.consumers.deployment import read_deployment
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.daemon.journal import log, set_up_log
from pki.daemon.metrics import AuthorityMetrics
from pki.daemon.process import Stopping, keep_memory_private, steady_clock, wall_clock
from pki.daemon.setting import WatchSetting
from pki.daemon.tally import Tally
from pki.daemon.telemetry import open_event_log
from pki.daemon.watch import Watch
from pki.exposure import require_private
from pki.identity import spiffe_id
from pki.inventory import require_state
from pki.passphrase import read_passphrase
from pki.process_priority import give_way

# A process that was asked to end does not wait for a collector; a single pass has nothing else to do.
CLOSE_S_MAX: Final = 0.5
CLOSE_ONCE_S_MAX: Final = 5.0

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog=EXIT_CODES)
@certs_option
@click.option(
    "--deployment",
    type=_FILE,
    required=True,
    help="What runs where, as ./start writes it into run/deployment.json; waited for.",
)
@policy_option
@passphrase_option
@click.option("--metrics-file", type=_FILE, help="Write Prometheus metrics here after each pass.")
@click.option("--events-file", type=_FILE, help="Append a JSON line here for each event.")
@click.option(
    "--otlp-endpoint", metavar="https://HOST:PORT", help="Send events to this OpenTelemetry collector."
)
@click.option(
    "--otlp-workload",
    default="collector",
    show_default=True,
    help="The workload whose certificate that collector must present.",
)
@click.option("--once", is_flag=True, help="Make a single pass, and end with what is left as the exit code.")
@click.pass_context
def daemon(
    ctx: click.Context,
    *,
    certs: Path,
    deployment: Path,
    policy: Path,
    passphrase_fd: int | None,
    metrics_file: Path | None,
    events_file: Path | None,
    otlp_endpoint: str | None,
    otlp_workload: str,
    once: bool,
) -> None:
    """Renew whatever is due, for ever: leaves at half of their life, lists, consumers that missed one."""
    keep_memory_private()
    give_way()
    set_up_log()
    require_private(certs)
    tree = CertificateTree(certs)
    state = require_state(tree)
    if once:
        read_deployment(deployment)
    keeper = PassphraseKeeper(read_passphrase(passphrase_fd, confirm=False))
    open_authority(tree, state.issuer, keeper)  # a wrong passphrase is said now, not in half a week
    stopping = Stopping()
    events = open_event_log(
        file=events_file,
        endpoint=otlp_endpoint,
        own=certs / "live" / ROTATION / "current",
        collector=spiffe_id(otlp_workload, state.trust_domain),
        trust_domain=state.trust_domain,
    )
    tally = Tally()
    setting = WatchSetting(
        certs=certs,
        deployment_file=deployment,
        policy_file=policy,
        issuing=keeper,
        command=" ".join(sys.argv[1:])[:400],
        events=events,
        jittered=not once,
        wall=wall_clock,
        steady=steady_clock,
    )
    watch = Watch(setting, tally, stopping, metrics=AuthorityMetrics(tally), metrics_file=metrics_file)
    code = 0
    try:
        if once:
            code = watch.once()
        else:
            log(logging.INFO, "watching", certs=str(certs), trust_domain=state.trust_domain)
            watch.run()
    finally:
        if events is not None:
            events.close(CLOSE_ONCE_S_MAX if once else CLOSE_S_MAX)
    ctx.exit(code)
