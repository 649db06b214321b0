"""What happens in each stage of a rotation: files brought to the state, consumers brought to the files.

Every function here may be killed and called again: it looks at what is there and does what is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pki.authority_making import OpenAuthority, open_authority
from pki.consumers.contract import Expectation
from pki.inventory import load_certificate
from pki.issuance import key_id
from pki.issuing import issue_leaves, refresh_bundles
from pki.revocation_lists import record_revocations, superseded
from pki.rotation.confirming import drain, in_waves, present_uses, settle
from pki.rotation.probe_credentials import make_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pki.authority_state import AuthorityState, Rotation
    from pki.certificate_files import CertificateTree, Owner
    from pki.consumers.contract import Credential, Fleet, Use
    from pki.custody.contract import Keeper
    from pki.ledger import Attribution
    from pki.recorded_signing import RecordedSigning


@dataclass(frozen=True, slots=True)
class RotationSetting:
    """What every rotation needs.

    Attributes:
        certs: the tree.
        issuing: opens intermediates, and keeps new ones.
        fleet: the consumers.
        owners: who may read the keys of these workloads.
        clock: now, UTC.
        by: who rotates, under which policy.
        tell: progress: (stage, sentence).
        retiring: destroys the old root's key where that is in a token; None where a file is all there is.
        skipped: workloads that need not be confirmed, each with the reason an operator gave.
        left_out: workloads that neither policy nor deployment know any more: they stay as they are.
    """

    certs: Path
    issuing: Keeper
    fleet: Fleet
    owners: Callable[[Sequence[str]], Mapping[str, Owner | None]]
    clock: Callable[[], datetime]
    by: Attribution
    tell: Callable[[str, str], None] = lambda *_: None
    retiring: Keeper | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def workloads(self, tree: CertificateTree) -> list[str]:
        """Return the workloads that have a leaf and are still known."""
        return [name for name in tree.live_names() if name not in self.left_out and tree.current(name)]


class StageWork:
    """Performs the stages of one rotation; the tree's lock is held."""

    def __init__(self, setting: RotationSetting, tree: CertificateTree, signing: RecordedSigning) -> None:
        self._setting = setting
        self._tree = tree
        self._signing = signing
        self._opened: dict[str, OpenAuthority] = {}
        # New connections use the new leaves from the last confirmation on; a resumed drain waits anew.
        self._confirmed_at = time.monotonic()

    def perform(self, state: AuthorityState, rotation: Rotation) -> None:
        """Do what the stage says, and see it confirmed.

        Raises:
            UnconfirmedConsumers: it is done, and not observed.
        """
        old, new = rotation.old_issuer, rotation.new_issuer
        match rotation.stage:
            case "trust-both":
                self._publish_bundles(rotation)
                self._confirm(rotation, self._everybody(accepted=(old, new), state=state))
            case "issue-new" if rotation.kind == "leaf":
                self._issue(rotation, state.issuer, self._still_presenting(rotation))
                self._confirm(rotation, Expectation(self._uses(rotation)))
            case "issue-new" | "issue-old":
                issuer = old if rotation.reverting else new
                self._issue(rotation, issuer, self._not_issued_by(issuer))
                self._confirm(rotation, self._everybody(accepted=(issuer,), state=state))
            case "drain" | "drain-back":
                self._drain(rotation, retired=new if rotation.reverting else old)
            case "trust-new":
                if rotation.kind == "intermediate":
                    self._end_intermediate(rotation)
                self._publish_bundles(rotation)
                self._confirm(rotation, self._everybody(accepted=(new,), refused=old, state=state))
            case "trust-old":
                if rotation.kind == "intermediate":  # on the record: the root's next list names the new one
                    self._record_ended(rotation)
                self._tree.drop_prepared_list(rotation.old_root)
                self._publish_bundles(rotation)
                self._confirm(rotation, self._everybody(accepted=(old,), refused=new, state=state))
            case _:  # retire, discard
                self._destroy_keys(rotation)

    def _live(self) -> list[str]:
        return self._setting.workloads(self._tree)

    def _open(self, authority: str) -> OpenAuthority:
        if authority not in self._opened:
            self._opened[authority] = open_authority(self._tree, authority, self._setting.issuing)
        return self._opened[authority]

    def _publish_bundles(self, rotation: Rotation) -> None:
        def publish(names: Sequence[str]) -> None:
            refresh_bundles(self._tree, names, self._setting.owners(names))

        self._in_waves(rotation, self._live(), publish)

    def _issue(self, rotation: Rotation, authority: str, names: Sequence[str]) -> None:
        def publish(wave: Sequence[str]) -> None:
            owners, now = self._setting.owners(wave), self._setting.clock()
            issue_leaves(self._tree, self._signing, self._open(authority), wave, owners=owners, now=now)

        self._in_waves(rotation, names, publish)

    def _in_waves(
        self, rotation: Rotation, names: Sequence[str], publish: Callable[[Sequence[str]], None]
    ) -> None:
        in_waves(
            self._setting.fleet,
            self._tree,
            names,
            publish,
            tell=self._setting.tell,
            skipped=self._setting.skipped,
            next_step=_next_step(rotation),
        )

    def _still_presenting(self, rotation: Rotation) -> list[str]:
        return [name for name, use in self._uses(rotation).items() if use.serial in rotation.replaced]

    def _uses(self, rotation: Rotation) -> dict[str, Use]:
        """Return what a leaf rotation's workloads use; one that was removed meanwhile holds up nobody."""
        return present_uses(self._tree, [n for n in rotation.names if n not in self._setting.left_out])

    def _not_issued_by(self, authority: str) -> list[str]:
        wanted = self._tree.read_authority(authority)
        names = []
        for name in self._live():
            found = self._tree.read_current(name)
            if found is not None and not found[1].chain.endswith(wanted):
                names.append(name)
        return names

    def _everybody(
        self, *, state: AuthorityState, accepted: tuple[str, ...], refused: str | None = None
    ) -> Expectation:
        uses = present_uses(self._tree, self._live())
        welcome = [self._credentials(state, authority) for authority in accepted]
        unwelcome = self._credentials(state, refused) if refused is not None else {}
        by_peer = {peer: tuple(each[peer] for each in welcome) for peer in (welcome[0] if welcome else {})}
        against = {peer: (credential,) for peer, credential in unwelcome.items()}
        same_root = len(state.trust) == 1 and refused is not None and self._below(refused, state.trust[0])
        if same_root:  # only a revocation list tells the two intermediates of one root apart
            return Expectation(uses, accepted=by_peer, refused_by_crl=against)
        return Expectation(uses, accepted=by_peer, refused=against)

    def _below(self, authority: str, root: str) -> bool:
        issuer = load_certificate(self._tree.read_authority(authority), authority).issuer
        return issuer == load_certificate(self._tree.read_authority(root), root).subject

    def _credentials(self, state: AuthorityState, authority: str) -> dict[str, Credential]:
        peers = self._setting.fleet.probed_peers
        if not peers:
            return {}
        return make_credentials(
            self._signing,
            self._open(authority),
            peers,
            trust_domain=state.trust_domain,
            now=self._setting.clock(),
        )

    def _confirm(self, rotation: Rotation, expectation: Expectation) -> None:
        settle(
            self._setting.fleet,
            expectation,
            load=expectation.uses,
            tell=self._setting.tell,
            skipped=self._setting.skipped,
            next_step=_next_step(rotation),
        )
        self._confirmed_at = time.monotonic()

    def _drain(self, rotation: Rotation, retired: str) -> None:
        certificate = load_certificate(self._tree.read_authority(retired), retired)
        drain(
            self._setting.fleet,
            Expectation({}, retired_issuers=frozenset({key_id(certificate)})),
            since=self._confirmed_at,
            tell=self._setting.tell,
            skipped=self._setting.skipped,
            next_step=_next_step(rotation),
        )

    def _end_intermediate(self, rotation: Rotation) -> None:
        """Put the list in force that was signed while the root was open: it revokes the old intermediate."""
        self._record_ended(rotation)
        prepared = self._tree.read_prepared_list(rotation.old_root)
        if prepared is not None:
            self._tree.write_list(rotation.old_root, prepared)
            self._tree.drop_prepared_list(rotation.old_root)

    def _record_ended(self, rotation: Rotation) -> None:
        revocation = superseded(self._tree, rotation, self._setting.clock())
        if revocation.serial not in self._signing.ledger.revoked:
            record_revocations(self._signing, [revocation])

    def _destroy_keys(self, rotation: Rotation) -> None:
        for name in self._live():
            self._tree.drop_previous(name)
        issuer = rotation.new_issuer if rotation.reverting else rotation.old_issuer
        root = rotation.new_root if rotation.reverting else rotation.old_root
        retired = [issuer] if rotation.new_issuer != rotation.old_issuer else []
        retired += [root] if rotation.new_root != rotation.old_root else []
        for authority in retired:
            if not self._tree.has_key(authority):
                if not self._is_recorded_as_destroyed(authority):  # killed between the two last steps
                    self._signing.record("key-destroyed", {"authority": authority})
                continue
            keeper = self._setting.issuing
            if authority.startswith("root-") and self._setting.retiring is not None:
                keeper = self._setting.retiring
            keeper.destroy(self._tree.read_sealed_key(authority))
            self._tree.destroy_key(authority)
            self._signing.record("key-destroyed", {"authority": authority})

    def _is_recorded_as_destroyed(self, authority: str) -> bool:
        return any(
            entry["event"] == "key-destroyed" and entry["authority"] == authority
            for entry in self._signing.ledger.entries
        )


def _next_step(rotation: Rotation) -> str:
    way = "" if rotation.reverting or rotation.kind == "leaf" else ", or go back with --rollback"
    return (
        f"Mend them, then run `python -m pki rotate {rotation.kind} --resume`{way}; "
        "--skip NAME=REASON takes the responsibility for one"
    )
