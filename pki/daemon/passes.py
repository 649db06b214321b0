"""One pass: read the tree anew, renew what is due, refresh lists, and tell consumers that use something else.

Nothing is remembered that files or consumers could not say: a pass after a kill finds what is missing. What
an operator must do is reported and never done: rotations that stand still, lists that need the root.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pki.anchoring import anchor_ledger, remembered_head
from pki.authority import renew_lists
from pki.certificate_files import CertificateTree
from pki.consumers.deployment import read_deployment
from pki.consumers.running_fleet import RunningFleet
from pki.daemon.attentive_fleet import AttentiveFleet
from pki.daemon.clock import ClockGuard
from pki.daemon.journal import log
from pki.daemon.ledger_events import Renewal
from pki.daemon.schedule import leaf_is_due
from pki.daemon.steps import SETTLE, Steps, settling
from pki.daemon.telling import EventTeller, report_rotation
from pki.errors import PolicyError, TreeError
from pki.inventory import present_owners, require_state, take_inventory
from pki.issuing import utc
from pki.policy import Policy, read_policy
from pki.policy_owners import policy_owners
from pki.recorded_signing import attribution
from pki.revocation_lists import lists_due
from pki.rotation.maintenance import Maintenance
from pki.rotation.stage_work import RotationSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pki.certificate_files import Owner
    from pki.daemon.process import Stopping
    from pki.daemon.setting import WatchSetting
    from pki.daemon.tally import Tally

_STRANGER: Final = "not part of the running deployment"


class Passes:
    """Makes passes over one tree; see `run`."""

    def __init__(self, setting: WatchSetting, tally: Tally, stopping: Stopping) -> None:
        self._setting = setting
        self._tree = CertificateTree(setting.certs)
        self._tally = tally
        self._stopping = stopping
        self._clock = ClockGuard()
        self._teller = EventTeller(self._tree, setting.events)
        self._settled_once = False
        self.steps = Steps(tally, stopping, wall=setting.wall, steady=setting.steady)

    def run(self) -> None:
        """Make one pass.

        Raises:
            Interrupted: this process was asked to end; the next start goes on.
        """
        self._tally.faults.clear()
        self.steps.met_busy = self.steps.acted = False
        self._observe_clock()
        self.steps.try_step("look", self._look)
        if self._tally.inventory is not None:
            self._teller.begin(self._tally.inventory)
            policy = self._read_policy()
            self.steps.try_step("maintain", lambda: self._maintain(policy))
            if self.steps.acted:  # a year's ledger takes seconds to verify: not twice for nothing
                self.steps.try_step("look", self._look)
            self.steps.try_step("anchor", self._anchor)
            report_rotation(self.steps, self._tally.inventory, self._setting.wall())
            self._teller.tell()
        self._tally.passes += 1
        self._tally.passed_at = self._setting.wall()

    def _observe_clock(self) -> None:
        steady = self._setting.steady()
        jump = self._clock.observe(self._setting.wall(), steady)
        if jump is not None:
            log(
                logging.ERROR,
                "the wall clock jumped; nothing is signed until it is left alone",
                jump_s=round(jump, 1),
                signing_again_in_s=round(self._clock.stable_in_s(steady), 1),
            )
        self._tally.clock_jumps = self._clock.jumps
        self._tally.clock_jump_s = self._clock.last_jump_s
        self._tally.clock_stable = self._clock.stable(steady)

    def _look(self) -> None:
        self._tally.inventory = take_inventory(self._tree)

    def _anchor(self) -> None:
        """Put the ledger's head into the evidence log, unless it is there."""
        assert self._tally.inventory is not None
        ledger = self._tally.inventory.ledger
        known = remembered_head(self._tree)
        if isinstance(ledger, str) or (known is not None and known.head == ledger.head):
            return
        deployment = read_deployment(self._setting.deployment_file)
        if any(consumer.type == "postgres" for consumer in deployment.consumers):
            anchor_ledger(deployment, self._tree)

    def _read_policy(self) -> Policy | None:
        """Return the policy; None if it does not hold, which stops issuing and nothing else."""
        try:
            policy = read_policy(self._setting.policy_file)
            domain = require_state(self._tree).trust_domain
            if policy.trust_domain != domain:
                raise PolicyError(
                    f"the policy is for {policy.trust_domain}, this is the authority of {domain}"
                )
        except PolicyError as fault:
            if self.steps.may("policy"):
                self.steps.note("policy", fault, ("policy",))
            self._tally.policy_holds = False
            return None
        self.steps.forget("policy")
        self._tally.policy_holds = True
        return policy

    def _maintain(self, policy: Policy | None) -> None:
        deployment = read_deployment(self._setting.deployment_file)
        running = {consumer.name for consumer in deployment.consumers}
        live = self._tree.live_names()
        skipped = {name: _STRANGER for name in live if name not in running}
        self.steps.say(
            "strangers", sorted(skipped), logging.WARNING, "workloads are not part of the deployment",
            workloads=" ".join(sorted(skipped)),
        )  # fmt: skip
        fleet = AttentiveFleet(RunningFleet(deployment, self._setting.certs), self._stopping)
        setting = RotationSetting(
            certs=self._setting.certs,
            issuing=self._setting.issuing,
            fleet=fleet,
            owners=lambda names: self._owners(policy, names),
            clock=self._setting.wall,
            by=attribution(self._setting.command, policy.digest if policy is not None else "none"),
            skipped=skipped,
        )
        here = [name for name in live if name in running]
        steps: list[Callable[[], object]] = []
        if self._tally.clock_stable and policy is not None:
            steps += [partial(self._replace_ended_lists, setting), partial(self._renew, setting, policy)]
        if self._tally.clock_stable:
            steps.append(partial(self._refresh_lists, setting))
        steps.append(lambda: self.steps.try_step("observe", partial(self._settle, setting, here)))
        for step in steps:
            step()
            if self.steps.met_busy:  # what the other command leaves is looked at anew, soon
                return

    def _owners(self, policy: Policy | None, names: Sequence[str]) -> Mapping[str, Owner | None]:
        """Return who may read each key; a workload without policy keeps its leaf, so its owner stays, too."""
        listed = [name for name in names if policy is not None and name in policy.workloads]
        owners = present_owners(self._tree, names)
        return owners if policy is None else owners | policy_owners(policy, self._tree, listed)

    def _replace_ended_lists(self, setting: RotationSetting) -> None:
        """Sign anew what peers refuse everybody for, before anything else: no confirmation could succeed.

        Leaves follow with the new lists, as their files do not fit any more.
        """
        now = utc(self._setting.wall())
        inventory = self._tally.inventory
        assert inventory is not None
        ended = [
            record.authority
            for record in inventory.authorities
            if record.listed
            and not record.authority.startswith("root-")
            and self._tree.has_key(record.authority)
            and (record.crl is None or (record.crl.next_update_utc or now) <= now)
        ]
        if not ended:
            self.steps.forget("ended-lists")
            return

        def sign() -> None:
            self.steps.acted = True
            log(logging.WARNING, "revocation lists have ended", authorities=" ".join(ended))
            renew_lists(self._setting.certs, issuing=setting.issuing, root=None, now=now, by=setting.by)
            self._look()

        self.steps.try_step("ended-lists", sign)

    def _renew(self, setting: RotationSetting, policy: Policy) -> None:
        if not self._due(policy):
            self.steps.forget("renew")
            return

        def renew() -> None:
            # While another command publishes, every leaf looks faulty: judged when nobody is at work.
            with self._tree.lock(self._setting.command):
                self._look()
                due = self._due(policy)
            if not due:
                return
            try:
                self._renew_names(setting, due)
            except (TreeError, OSError):
                if len(due) == 1:
                    raise
                # One workload's files must not keep all others from their new leaf.
                for name in due:
                    self.steps.try_step(f"renew {name}", partial(self._renew_names, setting, [name]))
            self._look()
            # Whatever the reason may be, issuing again and again would not be the answer to it.
            if left := set(due) & set(self._due(policy)):
                raise TreeError(f"{min(left)} is still due after its renewal: see `python -m pki status`")

        self.steps.try_step("renew", renew)

    def _renew_names(self, setting: RotationSetting, names: Sequence[str]) -> None:
        self.steps.acted = True
        self._teller.tell()
        log(logging.INFO, "renewing leaves", workloads=" ".join(names))
        began, outcome = self._setting.steady(), "unconfirmed"
        try:
            Maintenance(setting).renew(names)
            outcome = "confirmed"
        finally:
            took = self._setting.steady() - began
            self._teller.tell(Renewal(outcome, round(took, 3)))
        log(logging.INFO, "renewed leaves", workloads=" ".join(names), duration_s=round(took, 3))

    def _due(self, policy: Policy) -> list[str]:
        inventory = self._tally.inventory
        assert inventory is not None
        issuer = next(record for record in inventory.authorities if record.issuing)
        end, now = issuer.certificate.not_valid_after_utc, utc(self._setting.wall())
        due = [
            leaf.name
            for leaf in inventory.leaves
            if leaf_is_due(leaf, end, now, jittered=self._setting.jittered)
        ]
        unlisted = [name for name in due if name not in policy.workloads]
        self.steps.say(
            "unlisted", unlisted, logging.ERROR, "workloads are due and the policy does not list them",
            workloads=" ".join(unlisted),
        )  # fmt: skip
        return [name for name in due if name not in unlisted]

    def _refresh_lists(self, setting: RotationSetting) -> None:
        due = lists_due(self._tree, require_state(self._tree), utc(self._setting.wall()))
        ours = [name for name in due if not name.startswith("root-") and self._tree.has_key(name)]
        others = [name for name in due if name not in ours]
        self.steps.say(
            "lists", others, logging.ERROR, "revocation lists are due that need the root's custodians",
            authorities=" ".join(others), run="python -m pki crl --root",
        )  # fmt: skip
        if not ours:
            self.steps.forget("lists")
            return

        def publish() -> None:
            self.steps.acted = True
            signed = Maintenance(setting).publish_lists(only_due=True)
            log(logging.INFO, "published revocation lists", authorities=" ".join(signed))

        self.steps.try_step("lists", publish)

    def _settle(self, setting: RotationSetting, running: Sequence[str]) -> None:
        maintenance = Maintenance(replace(setting, skipped={}))
        seen = [name for name in maintenance.unsettled() if name in running]
        for name in running:
            if name not in seen:
                self.steps.forget(settling(name))
        # The first time all are told: whoever killed us after publishing left keys of before behind.
        names = seen if self._settled_once else list(running)
        wanted = [name for name in names if self.steps.may(settling(name))]
        if told := [name for name in wanted if name in seen]:
            sentence = "consumers do not use what their files say; telling them"
            log(logging.WARNING, sentence, workloads=" ".join(told))
        if wanted:
            keys = [settling(name) for name in wanted]
            fault = self.steps.try_step(SETTLE, lambda: maintenance.settle(wanted), keys)
            self._settled_once = self._settled_once or (fault is None and not self.steps.met_busy)
            seen = [name for name in maintenance.unsettled() if name in running]
        self._tally.unconfirmed = tuple(seen)
