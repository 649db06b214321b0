"""What keeps a mesh alive between rotations: renewing leaves, revocation lists, revoking, and settling.

Unlike a rotation these may run while one is under way: they issue what the state of now says. Killed
anywhere, the next call finds what is missing: it looks at files and consumers, not at a plan of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from pki.authority_making import OpenAuthority, open_authority
from pki.certificate_files import CertificateTree
from pki.consumers.contract import Expectation
from pki.crl import Revocation
from pki.errors import RevocationFault, SealError, UnconfirmedConsumers
from pki.exposure import require_private
from pki.inventory import require_state
from pki.issuing import IssuedLeaf, issue_leaves, refresh_bundles
from pki.ledger import split_lines, verify_ledger
from pki.profiles import PROBE
from pki.recorded_signing import RecordedSigning
from pki.revocation_lists import lists_due, record_revocations, recorded_revocations, renew_list
from pki.rotation.confirming import blocked, in_waves, present_uses, settle
from pki.rotation.probe_credentials import make_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pki.authority_state import AuthorityState
    from pki.consumers.contract import Credential
    from pki.custody.contract import Keeper
    from pki.ledger import VerifiedLedger
    from pki.rotation.stage_work import RotationSetting

_AGAIN = "Mend them, then run the same command again; --skip NAME=REASON takes the responsibility for one"


class Maintenance:
    """Works on one tree; each call takes the tree's lock."""

    def __init__(self, setting: RotationSetting) -> None:
        self._setting = setting
        self._tree = CertificateTree(setting.certs)

    def renew(self, names: Sequence[str]) -> list[IssuedLeaf]:
        """Issue a new leaf to each workload, and see it in use.

        Raises:
            UnconfirmedConsumers: issued, and somebody was not observed to present it.
        """
        with self._held() as (state, signing):
            issued = self._issue(state, signing, names)
        self._settle_all(names)
        return issued

    def settle(self, names: Sequence[str] | None = None) -> None:
        """See that consumers use what the files say, and tell those that do not.

        Args:
            names: workloads; None for all.

        Raises:
            UnconfirmedConsumers: somebody does not use it.
        """
        require_private(self._setting.certs)
        self._settle_all(self._setting.workloads(self._tree) if names is None else names)

    def _settle_all(self, names: Sequence[str]) -> None:
        # Without the lock: a consumer that is away must not keep an operator's rotation waiting. What is in
        # force may change under it, so each look reads it anew.
        self._settle(lambda: Expectation(present_uses(self._tree, names)), load=names)
        with self._tree.lock(self._setting.by.command):
            for name in names:
                self._tree.drop_previous(name)

    def unsettled(self) -> list[str]:
        """Look once; return the workloads whose consumers do not use what the files say."""
        expectation = Expectation(present_uses(self._tree, self._setting.workloads(self._tree)))
        return sorted({fault.name for fault in self._setting.fleet.unconfirmed(expectation)})

    def publish_lists(self, *, root: Keeper | None = None, only_due: bool = False) -> list[str]:
        """Sign revocation lists anew, publish them, and see on the wire that they are in force.

        Args:
            root: opens the root, whose list is then signed too; None to leave it as it is.
            only_due: those that are due; nothing happens if none is.

        Returns:
            The ids of the authorities whose list was signed.

        Raises:
            UnconfirmedConsumers: somebody still accepts what the list names.
        """
        with self._held() as (state, signing):
            due = set(lists_due(self._tree, state, self._setting.clock()))
            wanted = [
                authority
                for authority in state.listed
                if (authority in due or not only_due)
                and self._tree.has_key(authority)
                and (root is not None or not authority.startswith("root-"))
            ]
            if root is not None:
                wanted = self._without_others_roots(wanted, root)
            if not wanted:
                return []
            self._sign_and_confirm(state, signing, wanted, root)
            return wanted

    def _without_others_roots(self, authorities: Sequence[str], root: Keeper) -> list[str]:
        """Leave out roots that this keeper does not open: while a root rotates there are two, kept apart."""
        wanted, opened, refusal = [], False, None
        for authority in authorities:
            if authority.startswith("root-"):
                try:
                    self._open(authority, root)
                    opened = True
                except SealError as fault:
                    refusal = fault
                    continue
            wanted.append(authority)
        if refusal is not None and not opened:
            raise refusal
        return wanted

    def revoke(self, serials: Collection[str], reason: str, *, disconnect: bool) -> list[Revocation]:
        """Revoke leaves; a workload that presents one of them gets a new leaf first.

        Args:
            serials: hex; of leaves, as in the ledger.
            reason: a key of `pki.crl.REASONS`.
            disconnect: end open connections of these leaves now, not within the connection age.

        Raises:
            RevocationFault: a serial is not that of a leaf on the record, or its issuer's key is gone.
            UnconfirmedConsumers: done, and somebody was not observed to follow.
        """
        with self._held() as (state, signing):
            revocations = [self._revocation(signing, serial, reason) for serial in serials]
            uses = present_uses(self._tree, self._setting.workloads(self._tree))
            holders = [name for name, use in uses.items() if use.serial in serials]
            self._issue(state, signing, holders)
            holders_now = present_uses(self._tree, holders)
            self._settle(Expectation(holders_now), load=holders)
            record_revocations(signing, revocations)
            authorities = [a for a in state.intermediates if a in {r.issuer for r in revocations}]
            self._sign_and_confirm(state, signing, authorities, None)
            for name in holders:
                self._tree.drop_previous(name)
        if disconnect:
            self.disconnect(serials)
        return revocations

    def disconnect(self, serials: Collection[str]) -> None:
        """End open connections that were authenticated by these leaves.

        Raises:
            UnconfirmedConsumers: somebody could not be told.
        """
        left = self._setting.fleet.disconnect(serials=serials)
        left = [fault for fault in left if fault.name not in self._setting.skipped]
        if left:
            raise UnconfirmedConsumers(blocked(left, _AGAIN), tuple(left))

    @contextmanager
    def _held(self) -> Iterator[tuple[AuthorityState, RecordedSigning]]:
        require_private(self._setting.certs)
        with self._tree.lock(self._setting.by.command):
            state = require_state(self._tree)
            yield state, RecordedSigning(self._tree, self._setting.clock(), self._setting.by)

    def _open(self, authority: str, root: Keeper | None = None) -> OpenAuthority:
        keeper = root if root is not None and authority.startswith("root-") else self._setting.issuing
        return open_authority(self._tree, authority, keeper)

    def _issue(
        self, state: AuthorityState, signing: RecordedSigning, names: Sequence[str]
    ) -> list[IssuedLeaf]:
        if not names:
            return []
        return issue_leaves(
            self._tree,
            signing,
            self._open(state.issuer),
            names,
            owners=self._setting.owners(names),
            now=self._setting.clock(),
        )

    def _settle(self, expectation: Expectation | Callable[[], Expectation], load: Collection[str]) -> None:
        settle(
            self._setting.fleet,
            expectation,
            load=load,
            tell=self._setting.tell,
            skipped=self._setting.skipped,
            next_step=_AGAIN,
        )

    def _revocation(self, signing: RecordedSigning, serial: str, reason: str) -> Revocation:
        entry = _leaf_on_record(signing.ledger, serial)
        issuer = _issuer_of(self._tree, str(entry["issuer_spki_sha256"]))
        at, end = self._setting.clock(), str(entry["not_after"])
        return Revocation(serial, issuer, str(entry["subject"]), reason, at, datetime.fromisoformat(end))

    def _sign_and_confirm(
        self, state: AuthorityState, signing: RecordedSigning, authorities: Sequence[str], root: Keeper | None
    ) -> None:
        """Sign, publish, and watch the listeners refuse a probe that the new list names."""
        issuer = self._open(state.issuer)
        peers = self._setting.fleet.probed_peers
        good = self._probes(state, signing, issuer, peers)
        canaries = self._probes(state, signing, issuer, peers)
        now = self._setting.clock()
        record_revocations(
            signing,
            [
                Revocation(
                    credential.serial,
                    issuer.authority,
                    f"probe of {peer}",
                    "unspecified",
                    now,
                    now + PROBE.lifetime,
                )
                for peer, credential in canaries.items()
            ],
        )
        known = recorded_revocations(RecordedSigning(self._tree, now, self._setting.by).ledger)
        for authority in dict.fromkeys([*authorities, *([issuer.authority] if canaries else [])]):
            opened = issuer if authority == issuer.authority else self._open(authority, root)
            renew_list(self._tree, signing, opened, known, now)
        names = self._setting.workloads(self._tree)
        in_waves(
            self._setting.fleet,
            self._tree,
            names,
            lambda wave: refresh_bundles(self._tree, wave, self._setting.owners(wave)),
            tell=self._setting.tell,
            skipped=self._setting.skipped,
            next_step=_AGAIN,
        )
        self._settle(
            Expectation(
                present_uses(self._tree, names),
                accepted={peer: (credential,) for peer, credential in good.items()},
                refused_by_crl={peer: (credential,) for peer, credential in canaries.items()},
            ),
            load=names,
        )

    def _probes(
        self, state: AuthorityState, signing: RecordedSigning, issuer: OpenAuthority, peers: Collection[str]
    ) -> dict[str, Credential]:
        if not peers:
            return {}
        return make_credentials(
            signing, issuer, peers, trust_domain=state.trust_domain, now=self._setting.clock()
        )


def require_leaf_on_record(tree: CertificateTree, serial: str) -> None:
    """Check that a leaf can be revoked, without a change to anything: for dry runs, and before secrets.

    Raises:
        RevocationFault: as `Maintenance.revoke` would.
    """
    ledger = verify_ledger(split_lines(tree.read_ledger())[0])
    _issuer_of(tree, str(_leaf_on_record(ledger, serial)["issuer_spki_sha256"]))


def _leaf_on_record(ledger: VerifiedLedger, serial: str) -> Mapping[str, object]:
    entries = {
        str(entry["serial"]): entry
        for entry in ledger.entries
        if entry["event"] == "intent" and "serial" in entry
    }
    entry = entries.get(serial)
    if entry is None or serial not in ledger.issued or entry["role"] not in ("leaf", "probe"):
        raise RevocationFault(
            f"{serial[:64]} is not the serial number of a leaf on the record: "
            "take it from `python -m pki inventory`"
        )
    return entry


def _issuer_of(tree: CertificateTree, spki: str) -> str:
    for authority in tree.authorities():
        if authority.endswith(spki[:8]) and tree.has_key(authority):
            return authority
    raise RevocationFault(
        "the authority that signed it is retired and trusted by nobody, so its leaves are refused already"
    )
