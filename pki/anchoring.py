"""Tell the evidence log the ledger's head, and ask it which heads it holds.

The log's server takes heads in order and never changes one, and its own log is witnessed. It is reached as
the rotation reaches PostgreSQL: with its own leaf, as role `pki`. Retry: safe, the same head again changes
nothing. Concurrency: the server takes one head at a time.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import asyncpg

from pki.anchored_head import (
    AnchoredHead,
    compare_with_anchor,
    format_remembered,
    parse_head_statement,
    parse_remembered,
    require_kept,
)
from pki.certificate_files import CertificateTree
from pki.consumers.access import Access
from pki.consumers.deployment import read_deployment
from pki.consumers.postgres import PostgresConsumer
from pki.durable_files import read_file, sync_folder, write_new
from pki.errors import DeploymentError, LedgerError, NotInitialised, PKIError
from pki.ledger import split_lines, verify_ledger
from pki.live_files import ASIDE

if TYPE_CHECKING:
    from pathlib import Path

    from pki.consumers.deployment import Deployment
    from pki.ledger import LedgerHead, VerifiedLedger

REMEMBERED: Final = "anchor.json"
# At the end of a command nobody minds some seconds, and a log that is only slow must not go without the head.
WAIT_S_MAX: Final = 10.0
# 300 bytes each: a page is read well within that time.
HEADS_PER_PAGE_MAX: Final = 1000
# As the migration raises it: another head was anchored under this number or a later one.
_CONFLICT: Final = "CM409"
_ANCHOR: Final = "select evidence.anchor_ledger_head($1, $2, $3)"
_HEADS: Final = "select statement, leaf_index from evidence.ledger_heads($1, $2)"
_UNREACHED: Final = "the evidence log cannot be asked"


class HeadRecord:
    """The heads of one ledger in the evidence log of a running deployment.

    Args:
        deployment: from `read_deployment`.
        certs: the certificate tree; its `live/pki/current` is the identity.

    Raises:
        DeploymentError: no PostgreSQL is part of the deployment.
    """

    def __init__(self, deployment: Deployment, certs: Path) -> None:
        self._trust_domain = deployment.trust_domain
        access = Access(certs, deployment.trust_domain, deployment.processes_file)
        found = [each for each in deployment.consumers if each.type == "postgres"]
        if not found:
            raise DeploymentError(
                "no PostgreSQL is part of the deployment, so no evidence log: start the stack again"
            )
        postgres = found[0]
        self._server = PostgresConsumer(
            access, postgres.name, postgres.process, postgres.listeners[0], postgres.database
        )

    def anchor(self, head: LedgerHead) -> AnchoredHead:
        """Write a head into the log; the same again changes nothing, and returns what was said then.

        Raises:
            ConsumerAway: the record cannot be reached, or does not let us write.
            LedgerError: another head was anchored under this number, or a later one: the ledger was cut or
                replaced.
        """

        async def ask(connection: asyncpg.Connection) -> bytes:
            try:
                return bytes(await connection.fetchval(_ANCHOR, self._trust_domain, head.seq, head.digest))
            except asyncpg.PostgresError as fault:
                if fault.sqlstate == _CONFLICT:
                    raise LedgerError(
                        f"line {head.seq} does not follow what was anchored before: lines were removed, or "
                        "the ledger was replaced; `python -m pki ledger verify --deployment FILE` says where"
                    ) from fault
                raise

        anchored = self._own(self._server.ask(ask, _UNREACHED, WAIT_S_MAX), None)
        if anchored.head != head:
            raise LedgerError("the evidence log answered with another head than the one that was anchored")
        return anchored

    def newest(self) -> AnchoredHead | None:
        """Return the newest anchored head; None if there is none.

        Raises:
            ConsumerAway, LedgerError: see `heads`.
        """
        page = self._page(None, 1)
        return page[0] if page else None

    def heads(self) -> list[AnchoredHead]:
        """Return every anchored head, newest first.

        Raises:
            ConsumerAway: the record cannot be reached, or does not let us read.
            LedgerError: what it holds is not about this ledger.
        """
        found: list[AnchoredHead] = []
        while page := self._page(found[-1].head.seq if found else None, HEADS_PER_PAGE_MAX):
            found += page
        return found

    def _page(self, below: int | None, rows_max: int) -> list[AnchoredHead]:
        async def ask(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            return list(await connection.fetch(_HEADS, below, rows_max))

        rows = self._server.ask(ask, _UNREACHED, WAIT_S_MAX)
        page = [self._own(row["statement"], row["leaf_index"]) for row in rows]
        numbers = [below, *(each.head.seq for each in page)] if below else [each.head.seq for each in page]
        if numbers != sorted(set(numbers), reverse=True):
            raise LedgerError("the evidence log's heads are out of order: its database was altered")
        return page

    def _own(self, statement: bytes, leaf_index: int | None) -> AnchoredHead:
        anchored = parse_head_statement(statement, leaf_index)
        if anchored.trust_domain != self._trust_domain:
            raise LedgerError(
                f"the evidence log holds heads of {anchored.trust_domain}, and this is the authority of "
                f"{self._trust_domain}: name the deployment that belongs to this tree"
            )
        return anchored


def anchor(head: LedgerHead, *, deployment: Deployment, certs: Path) -> AnchoredHead:
    """Write a head into the log of a running deployment; see `HeadRecord.anchor`."""
    return HeadRecord(deployment, certs).anchor(head)


def anchored_head(*, deployment: Deployment, certs: Path) -> AnchoredHead | None:
    """Return the newest head that the log holds; see `HeadRecord.newest`."""
    return HeadRecord(deployment, certs).newest()


def anchor_if_running(deployment_file: Path | None, certs: Path) -> str | None:
    """Anchor the ledger's head at the end of a command, which never fails for it.

    Call it without the tree's lock, and outside any event loop. What was anchored is remembered in
    `anchor.json` beside the ledger, unless ledger and log disagree.

    Args:
        deployment_file: what runs where; None where the command was given none: then nothing is done.
        certs: the certificate tree.

    Returns:
        What is wrong, a sentence for the operator; None if the head is anchored, or there is nothing to do.
    """
    if deployment_file is None:
        return None
    try:
        anchor_ledger(read_deployment(deployment_file), CertificateTree(certs))
    except PKIError as fault:
        return f"the ledger's head is not safely anchored: {fault} [{fault.code}]"
    except OSError as fault:
        return (
            f"the ledger's head is not safely anchored: {fault.filename or certs}: {fault.strerror or fault}"
        )
    return None


def remembered_head(tree: CertificateTree) -> AnchoredHead | None:
    """Return the newest head that this tree remembers as anchored; None if it remembers none.

    Raises:
        NotInitialised: there is no authority.
        LedgerError: the file is not one of ours.
    """
    state = tree.read_state()
    if state is None:
        raise NotInitialised(f"{tree.root} holds no authority: make one with `python -m pki init`")
    path = tree.root / REMEMBERED
    return parse_remembered(read_file(path), state.trust_domain) if path.exists() else None


def anchor_ledger(deployment: Deployment, tree: CertificateTree) -> None:
    """Anchor the head of a tree's ledger, and remember that; call it without the tree's lock.

    Raises:
        ConsumerAway: the record cannot be reached.
        LedgerError: the ledger does not verify, or ledger and log disagree.
        DeploymentError: no PostgreSQL is part of the deployment.
    """
    record = HeadRecord(deployment, tree.root)
    ledger = verify_ledger(split_lines(tree.read_ledger())[0])
    if ledger.head.seq == 0:
        return
    disagreement = _disagreement(ledger, remembered_head(tree), record.newest())
    # Also where they disagree: one head more hides none of the older ones, and keeps what was written since.
    try:
        anchored = record.anchor(ledger.head)
    except LedgerError as refusal:
        if disagreement is None:
            raise
        raise disagreement from refusal
    if disagreement is not None:
        raise disagreement
    with tree.lock("the anchoring of the ledger"):
        known = remembered_head(tree)
        if known is None or known.head.seq < anchored.head.seq:
            aside = tree.root / f"{ASIDE}{secrets.token_hex(8)}"
            write_new(aside, format_remembered(anchored), 0o600, None)
            aside.replace(tree.root / REMEMBERED)
            sync_folder(tree.root)


def _disagreement(
    ledger: VerifiedLedger, known: AnchoredHead | None, newest: AnchoredHead | None
) -> LedgerError | None:
    present = [] if newest is None else [newest]
    try:
        compare_with_anchor(ledger, present if known is None else [known, *present])
        if known is not None and (newest is None or newest.head.seq <= known.head.seq):
            require_kept(known, present)
    except LedgerError as fault:
        return fault
    return None
