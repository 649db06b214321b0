"""A gateway, a merchant and a log in memory, which make evidence with real signatures. TEST KEYS."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from signing import (
    Response,
    SigningKey,
    parse_request,
    registration_statement,
    sign_possession,
    sign_receipt,
    sign_request,
    verify_request,
)
from signing.evidence import (
    Checkpoint,
    NamedKey,
    Record,
    Tile,
    TrustedKeys,
    append_leaves,
    checkpoint_body,
    cosign,
    inclusion_path,
    leaf_hash,
    make_note,
    node_from_tiles,
    root,
    sign_note,
    utc_text,
)
from signing.evidence.bundle import BundleParts, LoggedRecord, assemble_files, build_files
from signing.evidence.layout import KeyHistory
from signing.message import Request
from tests.unit.signing import signing_samples as samples

MERCHANT_ID = "mer_eu_01jd8q2m4v7x9k3t5w6y8z0abc"
LOG_NAME = "log.countermark.example/eu"
WITNESS_NAME = "witness.example.org/w1"
LOG = samples.ed25519_key("log")
WITNESS = samples.ed25519_key("witness")


class _Keeping:
    """A signer that keeps what it signed."""

    def __init__(self, key: SigningKey) -> None:
        self.key, self.base, self.signature = key, b"", b""
        self.alg, self.key_id = key.alg, key.key_id

    def sign(self, base: bytes, /) -> bytes:
        self.base, self.signature = base, self.key.sign(base)
        return self.signature


def head_of(request: Request) -> bytes:
    """Return the header as the gateway keeps it."""
    target = request.target_uri.removeprefix(samples.ORIGIN)
    lines = [f"{request.method} {target}", *(f"{name}: {value}" for name, value in request.headers)]
    return "".join(f"{line}\n" for line in lines).encode("latin-1")


@dataclass
class World:
    """One merchant with its keys, one gateway, one log.

    Attributes:
        merchant_keys: the key that signs the payment, the one that vouches for it, and so on.
        gateway: signs receipts and the manifest.
        witnessed: whether the witness cosigns the checkpoint.
        before: how many other entries stand before, between and after.
    """

    merchant_keys: list[SigningKey]
    gateway: SigningKey
    witnessed: bool = True
    others: int = 3
    now: int = samples.NOW
    earlier_gateway: SigningKey | None = None
    with_statement: bool = True
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    size: int = 0

    def append(self, entry: bytes) -> int:
        tile: Tile
        for tile in append_leaves(self.size, [leaf_hash(entry)], self._read):
            self.tiles[tile.level, tile.index] = tile.hashes
        self.size += 1
        return self.size - 1

    def append_others(self, count: int) -> None:
        for _ in range(count):
            self.append(b"another entry %d" % self.size)

    def answered(
        self,
        request: Request,
        key: SigningKey,
        status: int,
        body: bytes,
        gateway: SigningKey | None = None,
        delay_s: int = 1,
    ) -> dict[str, bytes | None]:
        """Sign, verify and answer a request; return the parts of its record."""
        nonce = f"nonce-of-the-request-{self.size:08}"
        sent = request.with_headers(sign_request(request, key, now=self.now, nonce=nonce))
        signed = parse_request(sent, origins=samples.ORIGINS)
        verified = verify_request(signed, key.verifying_key, now=self.now + 1)
        keeping = _Keeping(gateway or self.gateway)
        sign_receipt(signed, samples.answer(status, body), keeping, now=self.now + delay_s)
        return {
            "request_head": head_of(sent),
            "request_body": sent.body,
            "request_base": verified.signature_base,
            "request_signature": verified.signature,
            "response_body": body,
            "receipt_base": keeping.base,
            "receipt_signature": keeping.signature,
        }

    def decided_at(self) -> str:
        return utc_text(datetime.fromtimestamp(self.now + 1.25, UTC))

    def registration(self, key: SigningKey, signer: SigningKey) -> Record:
        """Register a key by itself, or by another one that vouches."""
        order: dict[str, object] = {"public_key": key.verifying_key.to_jwk()}
        statement = signature = None
        if signer is not key:
            statement = registration_statement(MERCHANT_ID, key.key_id, key.alg, self.now)
            signature = sign_possession(statement, key)
            order |= {"proof": base64.b64encode(signature).decode("ascii"), "issued_at": self.now}
        request = samples.payment(json.dumps(order).encode("ascii"), target="/v1/keys")
        answer = json.dumps({"key_id": key.key_id, "merchant_id": MERCHANT_ID}).encode("ascii")
        parts = self.answered(request, signer, 201, answer, self.earlier_gateway)
        return Record(
            "key-registration", key.key_id, MERCHANT_ID, signer.key_id, "accepted", self.decided_at(),
            **parts, statement=statement, statement_signature=signature,
        )  # fmt: skip

    def payment(self, subject: str, body: bytes = samples.BODY) -> Record:
        key = self.merchant_keys[0]
        answer = json.dumps({"id": subject, "status": "accepted", "note": "grüezi"}).encode("utf-8")
        parts = self.answered(samples.payment(body), key, 202, answer)
        return Record("payment", subject, MERCHANT_ID, key.key_id, "accepted", self.decided_at(), **parts)

    def parts(
        self, subject: str = "pay_eu_01", *, revoke_after: bool = False, compromised: str | None = None
    ) -> BundleParts:
        """Register the keys, oldest first, accept a payment, sign the log; return the parts of its bundle."""
        logged: list[tuple[Record, int]] = []
        self.append_others(self.others)
        for at in reversed(range(len(self.merchant_keys))):
            signer = self.merchant_keys[min(at + 1, len(self.merchant_keys) - 1)]
            record = self.registration(self.merchant_keys[at], signer)
            logged.insert(0, (record, self.append(record.entry())))
            self.append_others(self.others)
            self.now += 100
        record = self.payment(subject)
        logged.insert(0, (record, self.append(record.entry())))
        self.append_others(self.others)
        revoked_at = None
        if revoke_after:
            revoked_at = self.append(
                Record(
                    "key-revocation", self.merchant_keys[0].key_id, MERCHANT_ID, self.merchant_keys[0].key_id,
                    "accepted", self.decided_at(),
                ).entry()
            )  # fmt: skip
        return self.bundle_parts(logged, revoked_at, compromised)

    def bundle_parts(
        self, logged: list[tuple[Record, int]], revoked_at: int | None, compromised: str | None = None
    ) -> BundleParts:
        node = node_from_tiles(self._read)
        payment, *registrations = [
            LoggedRecord(record, index, tuple(inclusion_path(index, self.size, node)))
            for record, index in logged
        ]
        histories = [
            KeyHistory(logged.record.subject, MERCHANT_ID, logged.index, None, None, self.size)
            for logged in registrations
        ]
        histories[0] = replace(histories[0], revoked_at=revoked_at, compromised_since=compromised)
        body = checkpoint_body(Checkpoint(LOG_NAME, self.size, root(self.size, node)))
        lines = [sign_note(body, LOG_NAME, LOG)]
        if self.witnessed:
            lines.append(cosign(body, WITNESS_NAME, WITNESS, self.now + 60))
        return BundleParts(
            payment=payment,
            registrations=tuple(registrations),
            merchant_keys=tuple(key.verifying_key for key in self.merchant_keys),
            histories=tuple(histories),
            size=self.size,
            checkpoint_note=make_note(body, lines),
            gateway_keys=() if self.earlier_gateway is None else (self.earlier_gateway.verifying_key,),
            log=NamedKey(LOG_NAME, LOG.verifying_key),
            witnesses=(NamedKey(WITNESS_NAME, WITNESS.verifying_key),) if self.witnessed else (),
        )

    def files(self) -> dict[str, bytes]:
        return build_files(self.parts(), self.gateway)

    def trust(self, *, witness: bool | None = None) -> TrustedKeys:
        """Return what an arbiter trusts; by default the witness if it cosigned."""
        gateways = [self.gateway.verifying_key]
        if self.earlier_gateway is not None:
            gateways.append(self.earlier_gateway.verifying_key)
        asked = self.witnessed if witness is None else witness
        return TrustedKeys(
            tuple(gateways),
            (NamedKey(LOG_NAME, LOG.verifying_key),),
            (NamedKey(WITNESS_NAME, WITNESS.verifying_key),) if asked else (),
        )

    def _read(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")


def ledger_head(world: World) -> Record:
    """Return a record that is about no payment: the head of our ledger of certificates."""
    return Record("ledger-head", "ledger-12", "-", "-", "accepted", world.decided_at(), statement=b"a head\n")


def plain_world() -> World:
    """Return the simplest one: a first key of Ed25519, a gateway with P-256, a witness."""
    return World([samples.MERCHANT_ED25519], samples.GATEWAY_P256)


def resign(files: dict[str, bytes], gateway: SigningKey) -> dict[str, bytes]:
    """Return files with a new manifest: what a gateway could make that does not play by the rules."""
    from signing.evidence.layout import MANIFEST, MANIFEST_SIGNATURE, MANIFEST_TITLE, manifest_of  # noqa: PLC0415

    changed = dict(files)
    changed[MANIFEST] = manifest_of(changed)
    changed[MANIFEST_SIGNATURE] = gateway.sign(MANIFEST_TITLE + changed[MANIFEST])
    return changed


__all__ = ["Response", "World", "assemble_files", "head_of", "plain_world", "resign"]
