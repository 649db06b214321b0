"""GET /v1/payments/{id}/evidence, and what anyone may read of the log: trusted keys, checkpoint, hash tiles.

A bundle is put together when it is asked for, from what the log holds by then; until a checkpoint covers it
the answer is 409 `evidence_pending`. Entries are shown to their merchant alone; tiles hold hashes of entries
with 128 random bits and more in them, which tell nobody anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.replies import object_id_of
from gateway.errors import EvidencePending, NotFound, StateConflict
from gateway.store.evidence import EvidenceStore, Located, SignedCheckpoint
from gateway.store.published_log import PublishedLog
from signing import SigningKey, VerifyingKey
from signing.evidence.archive import pack
from signing.evidence.bundle import BundleParts, LoggedRecord, build_files, folder_name
from signing.evidence.entry import utc_text
from signing.evidence.errors import EvidenceRefused, TileRefused
from signing.evidence.layout import CHAIN_MAX, KeyHistory
from signing.evidence.note import Note, parse_note, verify_cosignature
from signing.evidence.tile_places import tiles_to_read
from signing.evidence.tiles import TILE_WIDTH, node_from_tiles, parse_tile_path
from signing.evidence.tree import HASH_BYTES, inclusion_path
from signing.evidence.trust import NamedKey, TrustedKeys, write_trust

if TYPE_CHECKING:
    from signing.evidence.tree import Node

BUNDLE_MEDIA_TYPE = "application/gzip"
# How long a checkpoint waits for its witness: cosigned evidence is worth more, and a witness that is away
# must not keep a merchant from its evidence.
WITNESS_GRACE = timedelta(seconds=3)
_TEXT = "text/plain; charset=utf-8"

EXPORT = Operation(
    name="exportEvidence", method="GET", path="/v1/payments/{payment_id}/evidence", scope=Scope.READ,
    summary="Everything an arbiter needs, verifiable offline", answers={200: BUNDLE_MEDIA_TYPE},
    problems=frozenset({"evidence_pending", "not_found", "state_conflict"}),
    fields=frozenset({"Content-Disposition"}),
)  # fmt: skip
TRUST = Operation(
    name="readTrustedKeys", method="GET", path="/.well-known/countermark-trust", signed=False,
    summary="The keys that evidence is verified under", answers={200: "text/plain"},
)  # fmt: skip
CHECKPOINT = Operation(
    name="readCheckpoint", method="GET", path="/.well-known/countermark-log/checkpoint", signed=False,
    summary="The newest signed checkpoint of the evidence log", answers={200: "text/plain"},
    problems=frozenset({"not_found"}),
)  # fmt: skip
TILE = Operation(
    name="readTile", method="GET", path="/.well-known/countermark-log/tile/{tile:.+}", signed=False,
    summary="The hashes of one tile of the evidence log", answers={200: "application/octet-stream"},
    problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (EXPORT, TRUST, CHECKPOINT, TILE)


@dataclass(frozen=True, slots=True)
class _Link:
    """A key of the chain that leads to the one that signed: its public half and its registration."""

    key: VerifyingKey
    registration: Located


class EvidenceHandlers:
    """The handlers of evidence.

    Args:
        evidence: the records and the log.
        published: the log as strangers may read it.
        receipt_key: signs bundles' manifests.
        trust: the public keys with their roles; one log.
        cell: whose payments are here.
    """

    def __init__(
        self,
        *,
        evidence: EvidenceStore,
        published: PublishedLog,
        receipt_key: SigningKey,
        trust: TrustedKeys,
        cell: str,
    ) -> None:
        if receipt_key.verifying_key not in trust.gateways or len(trust.logs) != 1:
            raise ValueError("trust_file must hold this gateway's receipt key and exactly one log")
        self._evidence = evidence
        self._published = published
        self._receipt_key = receipt_key
        self._trust = trust
        self._trust_text = write_trust(trust)
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return (
            (EXPORT, self.export),
            (TRUST, self.trusted_keys),
            (CHECKPOINT, self.checkpoint),
            (TILE, self.tile),
        )

    async def export(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}/evidence: the bundle, as a tar.gz."""
        known, _ = request[EXCHANGE].require_reader()
        payment_id = object_id_of(request, "pay", self._cell)
        payment = await self._evidence.find(known.merchant_id, "payment", payment_id)
        if payment is None:
            raise NotFound("there is no such payment")
        chain = await self._chain(payment)
        indexes = [_place(located) for located in (payment, *(link.registration for link in chain))]
        checkpoint = await self._evidence.find_checkpoint(max(indexes) + 1, WITNESS_GRACE)
        if checkpoint is None:
            raise EvidencePending("the evidence is being witnessed: ask again in a second")
        tiles = await self._evidence.tiles(tiles_to_read(indexes, checkpoint.size))
        node = node_from_tiles(lambda level, index: tiles.get((level, index), b""))
        # Read last: what the log held at this checkpoint is there by now, whatever came in meanwhile.
        histories = tuple([await self._history(link, checkpoint.size) for link in chain])
        files = build_files(self._parts(payment, chain, histories, checkpoint, node), self._receipt_key)
        folder = folder_name(payment_id)
        headers = {
            "Content-Type": BUNDLE_MEDIA_TYPE,
            "Content-Disposition": f'attachment; filename="{folder}.tar.gz"',
            "Cache-Control": "no-store",
        }
        return web.Response(status=HTTPStatus.OK, body=pack(files, folder), headers=headers)

    async def trusted_keys(self, _: web.Request) -> web.Response:
        """GET /.well-known/countermark-trust: the keys that evidence is verified under.

        Whoever verifies must have them from elsewhere, too: a gateway that lied would lie here.
        """
        headers = {"Content-Type": _TEXT, "Cache-Control": "max-age=300"}
        return web.Response(body=self._trust_text, headers=headers)

    async def checkpoint(self, _: web.Request) -> web.Response:
        """GET /.well-known/countermark-log/checkpoint: the newest signed note (C2SP tlog-checkpoint)."""
        checkpoint = await self._published.checkpoint()
        if checkpoint is None:
            raise NotFound("the log is empty")
        headers = {"Content-Type": _TEXT, "Cache-Control": "no-cache"}
        return web.Response(body=checkpoint.note, headers=headers)

    async def tile(self, request: web.Request) -> web.Response:
        """GET /.well-known/countermark-log/tile/…: the hashes of one tile (C2SP tlog-tiles)."""
        try:
            level, index, width = parse_tile_path(f"tile/{request.match_info['tile']}")
        except TileRefused:
            raise NotFound("there is no such tile") from None
        hashes = await self._published.tile(level, index)
        wanted = (TILE_WIDTH if width is None else width) * HASH_BYTES
        if len(hashes) < wanted:
            raise NotFound("there is no such tile")
        # A tile of this width never changes again.
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=86400, immutable"}
        return web.Response(body=hashes[:wanted], headers=headers)

    async def _chain(self, payment: Located) -> list[_Link]:
        """Return the key that signed the payment, the one that vouched for it, and so on to a first key."""
        merchant_id, key_id = payment.record.merchant_id, payment.record.key_id
        chain: list[_Link] = []
        while len(chain) < CHAIN_MAX:
            registration = await self._evidence.find(merchant_id, "key-registration", key_id)
            history = await self._evidence.key_history(key_id)
            if registration is None or history is None:
                raise StateConflict("the key was registered before evidence of registrations was kept")
            chain.append(_Link(VerifyingKey.from_jwk(json.loads(history.jwk)), registration))
            if registration.record.key_id == key_id:
                return chain
            key_id = registration.record.key_id
        raise StateConflict(f"more than {CHAIN_MAX} keys vouched for each other: enrol one with a new token")

    async def _history(self, link: _Link, size: int) -> KeyHistory:
        """Return what the log of this size holds about a key; a later revocation is later news."""
        record = link.registration.record
        revocation = await self._evidence.find(record.merchant_id, "key-revocation", record.subject)
        revoked_at = None if revocation is None else revocation.leaf_index
        if revoked_at is not None and revoked_at >= size:
            revoked_at = None
        since = None
        if revoked_at is not None:
            history = await self._evidence.key_history(record.subject)
            since = None if history is None else history.compromised_since
        return KeyHistory(
            key_id=record.subject,
            merchant_id=record.merchant_id,
            registered_at=_place(link.registration),
            revoked_at=revoked_at,
            compromised_since=None if since is None else utc_text(since),
            tree_size=size,
        )

    def _parts(
        self,
        payment: Located,
        chain: list[_Link],
        histories: tuple[KeyHistory, ...],
        checkpoint: SignedCheckpoint,
        node: Node,
    ) -> BundleParts:
        def logged(located: Located) -> LoggedRecord:
            index = _place(located)
            return LoggedRecord(located.record, index, tuple(inclusion_path(index, checkpoint.size, node)))

        note = parse_note(checkpoint.note)
        located = (payment, *(link.registration for link in chain))
        receipts = [each.record.receipt_base or b"" for each in located]
        return BundleParts(
            payment=logged(payment),
            registrations=tuple(logged(link.registration) for link in chain),
            merchant_keys=tuple(link.key for link in chain),
            histories=histories,
            size=checkpoint.size,
            checkpoint_note=checkpoint.note,
            gateway_keys=tuple(
                key for key in self._trust.gateways if any(key.key_id.encode() in base for base in receipts)
            ),
            log=self._trust.logs[0],
            witnesses=tuple(named for named in self._trust.witnesses if _cosigned(note, named)),
        )


def _place(located: Located) -> int:
    if located.leaf_index is None:
        raise EvidencePending("the evidence is on its way into the log: ask again in a second")
    return located.leaf_index


def _cosigned(note: Note, witness: NamedKey) -> bool:
    """Tell whether this very key cosigned: while a witness changes its key, two stand under one name."""
    try:
        verify_cosignature(note, witness.name, witness.key)
    except EvidenceRefused:
        return False
    return True
