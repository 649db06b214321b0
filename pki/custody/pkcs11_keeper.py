"""Keys made in a PKCS #11 token, which they never leave; the envelope says where to find them, and no secret.

What the envelope says is proven by the token: a key of that id must sign a challenge for that public key, and
its label carries role and time of creation. Two custodians are the token's business (its own quorum, or two
halves of a PIN). Source: PKCS #11 3.0 §4.9 (CKA_SENSITIVE, CKA_EXTRACTABLE and what they were always).
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import Attribute
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from pki.custody.envelope import decode_field, envelope_kind, require_kind, sealed_subject
from pki.custody.token_key import Token, TokenKey
from pki.errors import SealError
from pki.issuance import spki_sha256
from pki.seal import FORMAT, VERSION, SealedSubject

if TYPE_CHECKING:
    from datetime import datetime

# Random, because it is given before the key, and so its digest, exists.
KEY_ID_BYTES = 16
CHALLENGE_BYTES = 32
# CKA_LABEL of the token is padded to 32 bytes by the standard.
TOKEN_LABEL_BYTES_MAX = 32
_CUSTODY: dict[Attribute, bool] = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
}
_CUSTODY_SINCE_BIRTH = _CUSTODY | {
    Attribute.LOCAL: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
}
_SIGNS_ONLY = {
    Attribute.SIGN: True,
    Attribute.DERIVE: False,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.MODIFIABLE: False,
}


class Pkcs11Keeper:
    """A `Keeper`: one token, opened with its user PIN for each use."""

    def __init__(self, module: str, token_label: str, pin: str) -> None:
        """Say where; nothing is asked of the token yet.

        Args:
            module: path of the token's PKCS #11 library; it runs inside this process, so it must be trusted.
            token_label: of exactly one token.
            pin: its user PIN.

        Raises:
            SealError: no token can have this label.
        """
        # An empty label would match any token; one that cannot be shown could not be in an envelope.
        if not 0 < len(token_label.encode()) <= TOKEN_LABEL_BYTES_MAX or not token_label.isprintable():
            raise SealError(f"a token's label has 1 to {TOKEN_LABEL_BYTES_MAX} bytes, all of them to be seen")
        self._token = Token(module, token_label, pin)

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a key in the token; see `Keeper.make`.

        Killed before the envelope is stored, it leaves a key in the token that no envelope names: its label
        begins with `countermark` and tells when it was made.
        """
        key_id = secrets.token_bytes(KEY_ID_BYTES)
        label = _label(role, created.isoformat())
        with self._token.session(write=True) as session:
            curve = session.create_domain_parameters(
                pkcs11.KeyType.EC,
                {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
                local=True,
            )
            public, private = curve.generate_keypair(
                store=True,
                id=key_id,
                label=label,
                mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
                private_template=_CUSTODY | _SIGNS_ONLY,
                public_template={Attribute.VERIFY: True},
            )
            try:
                _require_custody(private, _CUSTODY_SINCE_BIRTH)
                public_key = _load_public_key(encode_ec_public_key(public))
            except BaseException:
                private.destroy()
                public.destroy()
                raise
        subject = SealedSubject(role, spki_sha256(public_key), created.isoformat())
        envelope = _reference(subject, public_key, key_id, self._token.label)
        try:
            return self.open(envelope), envelope
        except SealError:
            self.destroy(envelope)
            raise

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Find the key and have it prove that it is the one; see `Keeper.open`."""
        key_id, subject = self._found_in(envelope), sealed_subject(envelope)
        spki = decode_field(require_kind(envelope, "pkcs11")["spki"])
        public_key = _load_public_key(spki)
        if spki_sha256(public_key) != subject.spki_sha256:
            raise SealError("the reference to the token's key was altered: restore it from a backup")
        with self._token.session() as session:
            found = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC, id=key_id)
            _require_custody(found, _CUSTODY)
            if found[Attribute.LABEL] != _label(subject.role, subject.created):
                raise SealError("the token knows this key under another role or time: restore its reference")
        key = TokenKey(self._token, key_id, public_key)
        key.sign(secrets.token_bytes(CHALLENGE_BYTES), ec.ECDSA(hashes.SHA256()))
        return key

    def destroy(self, envelope: bytes) -> None:
        """Destroy the key in the token; one that is no longer there is destroyed already."""
        if envelope_kind(envelope) != "pkcs11":
            return
        key_id = self._found_in(envelope)
        with self._token.session(write=True) as session:
            for found in list(session.get_objects({Attribute.ID: key_id})):
                found.destroy()
            if list(session.get_objects({Attribute.ID: key_id})):
                raise SealError(f"token {self._token.label!r} did not destroy the key: use the maker's tool")

    def _found_in(self, envelope: bytes) -> bytes:
        fields = require_kind(envelope, "pkcs11")
        if fields["token_label"] != self._token.label:
            raise SealError(f"this key is in token {fields['token_label']!r}, not in {self._token.label!r}")
        key_id = decode_field(fields["key_id"])
        # An empty or short id in an altered reference could name, or destroy, keys that are not ours.
        if len(key_id) != KEY_ID_BYTES:
            raise SealError("the reference to the token's key was altered: restore it from a backup")
        return key_id


def _label(role: str, created: str) -> str:
    return f"countermark {role} {created}"


def _require_custody(private: Any, wanted: dict[Attribute, bool]) -> None:  # noqa: ANN401 - untyped by the library
    if any(private[attribute] is not value for attribute, value in wanted.items()):
        raise SealError(
            "the token does not keep this key to itself: it is no place for the key of an authority"
        )


def _load_public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    refusal = SealError("this is no P-256 key of a token: restore the reference from a backup")
    try:
        key = load_der_public_key(spki)
    except ValueError as fault:
        raise refusal from fault
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refusal
    return key


def _reference(
    subject: SealedSubject, public_key: ec.EllipticCurvePublicKey, key_id: bytes, token_label: str
) -> bytes:
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "role": subject.role,
        "spki_sha256": subject.spki_sha256,
        "created": subject.created,
        "kdf": "pkcs11",
        "token_label": token_label,
        "key_id": base64.b64encode(key_id).decode(),
        "spki": base64.b64encode(spki).decode(),
    }
    return json.dumps(fields, indent=1).encode() + b"\n"
