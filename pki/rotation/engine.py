"""Carrying out rotations: stage after stage, each safe to repeat, so that whoever is killed can resume.

The state file is moved to a stage first and the files are brought to it; consumers load them and are
observed; only then comes the next stage. Keys of the old authority are destroyed last.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pki.authority_making import discard_unused, make_intermediate, make_root, open_authority
from pki.authority_state import AuthorityState, Rotation
from pki.certificate_files import CertificateTree
from pki.crl import Revocation
from pki.errors import RotationFault
from pki.exposure import require_private
from pki.inventory import load_certificate, require_state
from pki.recorded_signing import RecordedSigning
from pki.revocation_lists import recorded_revocations, sign_next_list
from pki.rotation.confirming import present_uses
from pki.rotation.offline_fleet import OfflineFleet
from pki.rotation.plan import after, called, remaining, reverted, state_in
from pki.rotation.stage_work import RotationSetting, StageWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from pki.custody.contract import Keeper
    from pki.rotation.plan import Stage


__all__ = ["RotationSetting", "Rotator"]


class Rotator:
    """Rotates one tree."""

    def __init__(self, setting: RotationSetting) -> None:
        self._setting = setting
        self._tree = CertificateTree(setting.certs)
        self._signing: RecordedSigning

    def rotate_leaves(self, names: Sequence[str]) -> None:
        """Give each workload a new leaf with a new key.

        Raises:
            RotationFault: a rotation is under way, or a workload has no leaf yet.
            UnconfirmedConsumers: somebody was not observed to present the new leaf.
        """
        with self._begun() as state:
            uses = present_uses(self._tree, names)
            missing = sorted(set(names) - uses.keys())
            if missing:
                raise RotationFault(
                    f"{missing[0]} has no certificate yet: run `python -m pki issue {missing[0]}`"
                )
            root = state.trust[-1]
            replaced = tuple(use.serial for use in uses.values())
            self._begin(
                state,
                Rotation(
                    "leaf", "issue-new", self._now().isoformat(), tuple(names), replaced,
                    state.issuer, state.issuer, root, root,
                ),
            )  # fmt: skip
            self._run()

    def rotate_intermediate(self, root: Keeper) -> None:
        """Replace the intermediate, then every leaf; the root's custodians are needed at the beginning only.

        Raises:
            RotationFault: a rotation is under way.
            SealError: the root does not open.
            UnconfirmedConsumers: a stage could not be confirmed; nothing is lost, resume later.
        """
        with self._begun() as state:
            opened_root = open_authority(self._tree, state.trust[-1], root)
            made = make_intermediate(
                self._tree,
                self._signing,
                trust_domain=state.trust_domain,
                root=opened_root,
                keeper=self._setting.issuing,
                now=self._now(),
            )
            old = self._certificate(state.issuer)
            revocation = Revocation(
                f"{old.serial_number:x}", opened_root.authority, state.issuer, "superseded",
                self._now(), old.not_valid_after_utc,
            )  # fmt: skip
            known = recorded_revocations(self._signing.ledger)
            current = sign_next_list(self._tree, self._signing, opened_root, known, self._now())
            self._tree.write_list(opened_root.authority, current)
            # While the root is open: the list that ends the old intermediate, kept until it is out of use.
            prepared = sign_next_list(
                self._tree, self._signing, opened_root, [*known, revocation], self._now()
            )
            self._tree.write_prepared_list(opened_root.authority, prepared)
            self._begin_authority("intermediate", state, made.authority, opened_root.authority)
            self._run()

    def rotate_root(self, root: Keeper) -> None:
        """Replace root and intermediate, then every leaf.

        Args:
            root: keeps the new root's key; the old root's is not needed.

        Raises:
            RotationFault: a rotation is under way.
            UnconfirmedConsumers: a stage could not be confirmed; nothing is lost, resume later.
        """
        with self._begun() as state:
            now, domain = self._now(), state.trust_domain
            made = make_root(self._tree, self._signing, trust_domain=domain, keeper=root, now=now)
            below = make_intermediate(
                self._tree,
                self._signing,
                trust_domain=domain,
                root=made,
                keeper=self._setting.issuing,
                now=now,
            )
            self._begin_authority("root", state, below.authority, made.authority)
            self._run()

    def resume(self) -> None:
        """Go on with the rotation that is under way, from the stage where it stands.

        Raises:
            RotationFault: nothing is under way.
            UnconfirmedConsumers: a stage could not be confirmed.
        """
        with self._held():
            self._require_rotation()
            self._run()

    def roll_back(self) -> None:
        """Go back to the authority of before; killed on the way, call it or `resume` again.

        Raises:
            RotationFault: nothing is under way, or it is past the point of return.
            UnconfirmedConsumers: a stage could not be confirmed.
        """
        with self._held():
            state, rotation = self._require_rotation()
            back = reverted(rotation)
            if back != rotation:
                self._signing.record("rotation-reverted", {"kind": back.kind, "from": rotation.stage})
                self._tree.write_state(state_in(state, back))
            self._run()

    def _now(self) -> datetime:
        return self._setting.clock()

    def _certificate(self, authority: str) -> x509.Certificate:
        return load_certificate(self._tree.read_authority(authority), authority)

    @contextmanager
    def _held(self) -> Iterator[AuthorityState]:
        require_private(self._setting.certs)
        with self._tree.lock(self._setting.by.command):
            state = require_state(self._tree)
            self._signing = RecordedSigning(self._tree, self._now(), self._setting.by)
            yield state

    @contextmanager
    def _begun(self) -> Iterator[AuthorityState]:
        with self._held() as state:
            if state.rotation is not None:
                raise RotationFault(
                    f"{called(state.rotation.kind)} is under way at stage {state.rotation.stage}: "
                    f"finish it with `python -m pki rotate {state.rotation.kind} --resume`, "
                    "or go back with --rollback"
                )
            discard_unused(self._tree, self._signing, None)
            yield state

    def _require_rotation(self) -> tuple[AuthorityState, Rotation]:
        state = require_state(self._tree)
        if state.rotation is None:
            raise RotationFault("no rotation is under way: begin one with `python -m pki rotate`")
        return state, state.rotation

    def _begin_authority(self, kind: str, state: AuthorityState, issuer: str, root: str) -> None:
        names = tuple(self._setting.workloads(self._tree))
        began = self._now().isoformat()
        rotation = Rotation(kind, "trust-both", began, names, (), state.issuer, issuer, state.trust[-1], root)
        self._begin(state, rotation)

    def _begin(self, state: AuthorityState, rotation: Rotation) -> None:
        # Refused now, or every --resume would be: a rotation that began must be able to end.
        self._setting.owners(rotation.names)
        fields: dict[str, str | int] = {"kind": rotation.kind, "workloads": len(rotation.names)}
        if rotation.kind != "leaf":
            fields |= {"old_issuer": rotation.old_issuer, "new_issuer": rotation.new_issuer}
        if rotation.kind == "root":
            fields |= {"old_root": rotation.old_root, "new_root": rotation.new_root}
        if self._setting.left_out:
            fields["left_out"] = " ".join(sorted(self._setting.left_out))
        self._signing.record("rotation-began", fields)
        self._tree.write_state(state_in(state, rotation))

    def _run(self) -> None:
        work = StageWork(self._setting, self._tree, self._signing)
        while True:
            state = require_state(self._tree)
            if state.rotation is None:
                return
            stage = remaining(state.rotation)[0]
            self._setting.tell(stage.name, stage.does)
            work.perform(state, state.rotation)
            self._record_done(state.rotation.kind, stage)
            following = after(state, state.rotation)
            if following.rotation is None:
                ended = "rolled-back" if state.rotation.reverting else "complete"
                self._signing.record(
                    "rotation-ended",
                    {"kind": state.rotation.kind, "outcome": ended, "began": state.rotation.began},
                )
            self._tree.write_state(following)

    def _record_done(self, kind: str, stage: Stage) -> None:
        """Put a stage on the record as what it is: confirmed only where everybody was observed."""
        fields: dict[str, str | int] = {"kind": kind, "stage": stage.name}
        fleet, skipped = self._setting.fleet, self._setting.skipped
        if not stage.confirmed_by:
            fields["outcome"] = "done"
        elif isinstance(fleet, OfflineFleet):
            fields |= {"outcome": "unobserved", "reason": fleet.reason}
        else:
            self._signing.record_all(
                [("consumer-skipped", {"workload": name, "reason": why}) for name, why in skipped.items()]
            )
            fields["outcome"] = "confirmed-in-part" if skipped else "confirmed"
        self._signing.record("rotation-stage", fields)
