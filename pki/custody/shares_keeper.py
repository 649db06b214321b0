"""Keys that open with k of n shares: a random key-encrypting key, dealt out and kept nowhere else.

The envelope authenticates role, key, time of creation and quorum, so it cannot be passed off as another's.
Source: NIST SP 800-38D (GCM); SLIP-0039 (shares); PCI DSS 3.7.6 (split knowledge and dual control).
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.custody.contract import load_sealed_key
from pki.custody.envelope import (
    Quorum,
    decode_field,
    quorum_of,
    require_kind,
    require_no_token,
    sealed_subject,
)
from pki.custody.shares import KEK_BYTES, deal, join, require_quorum
from pki.errors import SealError
from pki.issuance import spki_sha256
from pki.seal import FORMAT, NONCE_BYTES, VERSION, SealedSubject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class _Dealing:
    threshold: int
    count: int
    hand_out: Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class SharesKeeper:
    """A `Keeper`, either for dealing new keys or for joining shares; make it with one of the two methods."""

    _deal: _Dealing | None = field(default=None, repr=False)
    _shares: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def dealing(cls, threshold: int, count: int, hand_out: Callable[[Sequence[str]], None]) -> SharesKeeper:
        """Return a keeper that makes keys.

        Args:
            threshold: how many shares will open a key.
            count: how many there will be.
            hand_out: gets the shares, in the order of their numbers, and returns when every custodian holds
                one; whatever it raises leaves `make`, and no key was made.

        Raises:
            SealError: the quorum is impossible, or one person would be enough.
        """
        require_quorum(threshold, count)
        return cls(_deal=_Dealing(threshold, count, hand_out))

    @classmethod
    def joining(cls, shares: Sequence[str]) -> SharesKeeper:
        """Return a keeper that opens keys with these shares, each a string of words."""
        return cls(_shares=tuple(shares))

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a key, and hand its shares out before anybody can rely on it; see `Keeper.make`."""
        if self._deal is None:
            raise SealError("shares open a key that exists: to make one, say how many shares to deal")
        key = ec.generate_private_key(ec.SECP256R1())
        kek = secrets.token_bytes(KEK_BYTES)
        dealt = deal(kek, self._deal.threshold, self._deal.count)
        envelope = _seal(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            kek,
            SealedSubject(role, spki_sha256(key.public_key()), created.isoformat()),
            Quorum(self._deal.threshold, self._deal.count, dealt.identifier),
        )
        opened = SharesKeeper.joining(dealt.shares[-self._deal.threshold :]).open(envelope)
        if opened.public_key() != key.public_key():
            raise SealError("the key that was sealed does not open again: nothing was kept, try again")
        self._deal.hand_out(dealt.shares)
        return key, envelope

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open a key; see `Keeper.open`."""
        fields = require_kind(envelope, "shares")
        quorum, subject = quorum_of(envelope), sealed_subject(envelope)
        require_quorum(quorum.threshold, quorum.count)
        nonce, ciphertext = decode_field(fields["nonce"]), decode_field(fields["ciphertext"])
        if len(nonce) != NONCE_BYTES:
            raise SealError("the sealed key is damaged: restore it from a backup")
        kek = join(self._shares, identifier=quorum.identifier)
        try:
            plaintext = AESGCM(kek).decrypt(nonce, ciphertext, _associated_bytes(subject, quorum))
        except InvalidTag as fault:
            raise SealError(
                "the shares fit together, but the sealed key did not open: it was altered, or they are those "
                "of another key; compare the file with a backup"
            ) from fault
        return load_sealed_key(plaintext, subject)

    def destroy(self, envelope: bytes) -> None:
        """Destroy nothing: without its envelope, all shares together open nothing."""
        require_no_token(envelope)


def _associated_bytes(subject: SealedSubject, quorum: Quorum) -> bytes:
    numbers = f"|shares|{quorum.threshold}|{quorum.count}|{quorum.identifier}"
    return subject.associated_bytes + numbers.encode()


def _seal(plaintext: bytes, kek: bytes, subject: SealedSubject, quorum: Quorum) -> bytes:
    # The key-encrypting key seals this one key, so a random nonce cannot repeat under it.
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = AESGCM(kek).encrypt(nonce, plaintext, _associated_bytes(subject, quorum))
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "role": subject.role,
        "spki_sha256": subject.spki_sha256,
        "created": subject.created,
        "kdf": "shares",
        "threshold": quorum.threshold,
        "count": quorum.count,
        "identifier": quorum.identifier,
        "nonce": base64.b64encode(nonce).decode(),
        "ciphertext": base64.b64encode(ciphertext).decode(),
    }
    return json.dumps(fields, indent=1).encode() + b"\n"
