"""What commands have in common: their options, and the tree, policy, consumers and keeper that these name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pki.anchoring import anchor_if_running
from pki.authority_making import open_authority
from pki.certificate_files import CertificateTree
from pki.consumers.deployment import read_deployment
from pki.consumers.running_fleet import RunningFleet
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.remembering import RememberingKeeper
from pki.errors import PolicyError
from pki.exposure import require_private
from pki.inventory import require_state
from pki.passphrase import read_passphrase
from pki.policy import Policy, read_policy
from pki.policy_owners import policy_owners
from pki.process_priority import give_way
from pki.recorded_signing import RecordedSigning, attribution
from pki.rotation.offline_fleet import OfflineFleet
from pki.rotation.stage_work import RotationSetting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pki.consumers.contract import Fleet
    from pki.ledger import Attribution

EXIT_CODES = """\b
Exit codes:
  0  fine
  1  error: nothing, or not everything, was done
  2  usage
  3  something is due
  4  something is critical: expired, about to, broken, or the ledger does not verify
  5  blocked: a consumer was not observed to use what it must
"""
EXIT_BLOCKED = 5
# A ledger's line names its command; a longer one says no more about who did what.
COMMAND_CHARS_MAX = 400
_Command = TypeVar("_Command", bound=Callable[..., Any])


class SkipType(click.ParamType[tuple[str, str]]):
    """A workload that need not be confirmed, and why."""

    name = "NAME=REASON"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        name, _, reason = value.partition("=")
        if not name or not reason.strip():
            self.fail("say it like payments='being replaced, ticket 81'", param, ctx)
        return name, reason.strip()


certs_option = click.option(
    "--certs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("certs"),
    show_default=True,
    help="The certificate tree.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print the plan and sign nothing.")
passphrase_option = click.option(
    "--passphrase-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the passphrase from this open file descriptor; without it, prompt.",
)
policy_option = click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("certs/policy.toml"),
    show_default=True,
    help="The reviewed policy: who may be given which names.",
)
deployment_option = click.option(
    "--deployment",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What runs where, as ./start writes it into run/deployment.json.",
)
_OFFLINE = click.option(
    "--offline", metavar="REASON", help="Do not look at consumers; the reason goes on the record."
)
_SKIP = click.option(
    "--skip", "skips", type=SkipType(), multiple=True, help="Do not wait for this one; goes on the record."
)
_NAMES = ("certs", "policy", "deployment", "offline", "skips", "passphrase_fd", "as_json")


@dataclass(slots=True)
class Session:
    """One command's view of one tree.

    Attributes:
        certs: the tree.
        policy_file: the reviewed policy.
        deployment_file: what runs where; None where that was not given.
        offline: why consumers are not looked at; None to look at them.
        skipped: workloads that need not be confirmed, and why.
        passphrase_fd: where the passphrase comes from; None to prompt.
        as_json: print one document, and progress nowhere.
    """

    certs: Path
    policy_file: Path
    deployment_file: Path | None
    offline: str | None
    skipped: Mapping[str, str]
    passphrase_fd: int | None
    as_json: bool
    _passphrase: bytes | None = field(default=None, repr=False)

    @property
    def tree(self) -> CertificateTree:
        """The tree's files."""
        return CertificateTree(self.certs)

    def policy(self) -> Policy:
        """Read the policy.

        Raises:
            PolicyError: it does not hold, or is for another trust domain than the tree.
        """
        policy = read_policy(self.policy_file)
        state = self.tree.read_state()
        if state is not None and state.trust_domain != policy.trust_domain:
            raise PolicyError(
                f"{self.policy_file} is for {policy.trust_domain}, and {self.certs} is the authority of "
                f"{state.trust_domain}: give the policy of this authority"
            )
        return policy

    def passphrase(self) -> bytes:
        """Return the authority's passphrase; read once."""
        if self._passphrase is None:
            self._passphrase = read_passphrase(self.passphrase_fd, confirm=False)
        return self._passphrase

    def fleet(self) -> Fleet:
        """Return the consumers.

        Raises:
            click.UsageError: neither they nor a reason for not looking at them was given.
        """
        if self.offline is not None:
            return OfflineFleet(self.offline)
        if self.deployment_file is None:
            raise click.UsageError(
                "say with --deployment where the consumers are, or with --offline why nobody looks at them"
            )
        return RunningFleet(read_deployment(self.deployment_file), self.certs)

    def left_out(self) -> frozenset[str]:
        """Return the workloads that have files, and that neither the policy nor the deployment knows.

        One that still runs is not among them: it blocks until the policy lists it or it is stopped.
        """
        known = set(self.policy().workloads)
        if self.deployment_file is not None:
            known |= {consumer.name for consumer in read_deployment(self.deployment_file).consumers}
        return frozenset(self.tree.live_names()) - known

    def known_names(self) -> list[str]:
        """Return the workloads that have files and are still known."""
        return sorted(set(self.tree.live_names()) - self.left_out())

    def attribution(self) -> Attribution:
        """Return who acts, with the words of the command; no argument of ours is ever a secret."""
        return attribution(command_words(), self.policy().digest)

    def setting(self) -> RotationSetting:
        """Return what rotations and maintenance need; asks for the passphrase, and gives way to the mesh.

        What an operator answers for, `--offline` and `--skip`, is on the record when this returns.

        Raises:
            click.UsageError: a workload to skip is none of the policy's.
            SealError: the passphrase is not the authority's, found before anything is sealed under it.
            PKIError: the tree, its ledger or this machine's clock is not as it must be.
        """
        give_way()
        state = require_state(self.tree)
        require_private(self.certs)
        policy, left_out = self.policy(), self.left_out()
        strangers = sorted(self.skipped.keys() - policy.workloads.keys())
        if strangers:
            raise click.UsageError(f"--skip {strangers[0]}: the policy lists no such workload")
        for name in sorted(left_out):
            self.tell("left out", f"{name} is in no policy any more: remove {self.certs}/live/{name}")
        fleet = self.fleet()
        issuing = RememberingKeeper(PassphraseKeeper(self.passphrase()))
        open_authority(self.tree, state.issuer, issuing)
        setting = RotationSetting(
            certs=self.certs,
            issuing=issuing,
            fleet=fleet,
            owners=lambda names: policy_owners(policy, self.tree, names),
            clock=lambda: datetime.now(UTC),
            by=attribution(command_words(), policy.digest),
            tell=self.tell,
            skipped=self.skipped,
            left_out=left_out,
        )
        self._record_answered_for(setting)
        return setting

    def _record_answered_for(self, setting: RotationSetting) -> None:
        if self.offline is None and not self.skipped:
            return
        with self.tree.lock(setting.by.command):
            signing = RecordedSigning(self.tree, setting.clock(), setting.by)
            if self.offline is not None:
                signing.record("consumers-not-looked-at", {"reason": self.offline})
            for name, reason in self.skipped.items():
                signing.record("consumer-skipped", {"workload": name, "reason": reason})

    def anchor(self) -> None:
        """Put the ledger's head where this machine's operators cannot change it; no command fails for it."""
        warning = None if self.offline is not None else anchor_if_running(self.deployment_file, self.certs)
        if warning is not None:
            click.echo(f"Warning: {warning}", err=True)

    def tell(self, stage: str, sentence: str) -> None:
        """Show progress to people: on standard error, so that standard output stays the result."""
        if not self.as_json:
            click.echo(f"  {stage:<12} {sentence}", err=True)


def command_words() -> str:
    """Return the command as it goes on the record: one line of bounded length that steers no terminal."""
    words = shlex.join(sys.argv[1:]) or "pki"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)[:COMMAND_CHARS_MAX]


def session_options(*, consumers: bool) -> Callable[[_Command], _Command]:
    """Add the options of a session; the command gets it as its argument `session`.

    Args:
        consumers: the command looks at consumers.
    """
    options = [certs_option, policy_option, passphrase_option, json_option]
    options += [deployment_option, _OFFLINE, _SKIP] if consumers else []

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def collected(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the command takes
            given = {name: kwargs.pop(name, None) for name in _NAMES}
            session = Session(
                certs=given["certs"],
                policy_file=given["policy"],
                deployment_file=given["deployment"],
                offline=given["offline"],
                skipped=dict(given["skips"] or ()),
                passphrase_fd=given["passphrase_fd"],
                as_json=given["as_json"],
            )
            try:
                return command(*args, session=session, **kwargs)
            except OSError as fault:
                # write(2) and fsync(2) name no file; what is full or broken then is the tree's disk.
                fault.filename = fault.filename or str(session.certs)
                raise

        wrapped: Any = collected
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate
