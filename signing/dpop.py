"""Proofs of possession for access tokens: who shows a token also signs, each time, what it asks for.

A proof is a JWT in the one form that RFC 9449 prescribes: three header members, five claims, no other. What
is signed begins with `eyJ`, so no proof is ever a request's signature base (which begins with a quotation
mark) or a registration statement, nor the other way round. Proofs cover the method and the target without its
query, and no body: they are good for reading, never for what acts. Pure.
Source: RFC 9449 §4.2 and §4.3, RFC 7515 §5, RFC 8037 §3.1, RFC 9864.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from . import profile
from .errors import KeyRefused, ProofRefused, SignatureInvalid
from .keys import VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import Algorithm, Signer

    class ProvingKey(Signer, Protocol):
        """A key that shows its public half, as `SigningKey` does."""

        @property
        def verifying_key(self) -> VerifyingKey: ...


PROOF_TYPE: Final = "dpop+jwt"
PROOF_CHARS_MAX: Final = 2048  # ours have about 500; what common proxies pass without configuration
PROOF_AGE_S_MAX: Final = 60  # made for one request and sent at once; each is remembered for so long
# 256 random bits behind a prefix by which scanners of repositories and logs find what leaked.
TOKEN: Final = re.compile(r"cmat_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
# 16 characters hold 96 random bits (RFC 9449 §4.2); a UUID has 36.
_JTI: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}")
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = frozenset({"typ", "alg", "jwk"})
_CLAIMS: Final = frozenset({"jti", "htm", "htu", "iat", "ath"})
# `EdDSA` is what most libraries write, `Ed25519` its fully specified name.
_ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "EdDSA": "ed25519", "Ed25519": "ed25519", "ES256": "ecdsa-p256-sha256",
}  # fmt: skip
ALGORITHM_NAMES: Final = ("EdDSA", "ES256")  # as they are told to clients


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified proof says.

    Attributes:
        key_id: the RFC 7638 thumbprint of the key that signed it.
        jti: its own name, to be remembered until it is too old.
        issued_at: seconds since the epoch, by its signer's clock.
    """

    key_id: str
    jti: str
    issued_at: int


def make_proof(key: ProvingKey, *, method: str, target_uri: str, token: str, now: int, jti: str) -> str:
    """Return the value of the `DPoP` field for one request that shows a token.

    Args:
        key: the key that the token is bound to.
        method: of the request.
        target_uri: of the request; its query is left out.
        token: as issued.
        now: seconds since the epoch, UTC.
        jti: fresh random text, as `secrets.token_urlsafe(24)` makes it.

    Raises:
        ProofRefused: token or jti is not of its form.
    """
    if TOKEN.fullmatch(token) is None or _JTI.fullmatch(jti) is None:
        raise ProofRefused("the token or the jti is not of its form")
    jwk = key.verifying_key.to_jwk()
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
    header: dict[str, object] = {"typ": PROOF_TYPE, "alg": jwk["alg"], "jwk": public}
    claims: dict[str, object] = {
        "jti": jti,
        "htm": method,
        "htu": _without_query(target_uri),
        "iat": now,
        "ath": _hash_of(token),
    }
    signed = f"{_encoded(_json(header))}.{_encoded(_json(claims))}"
    return f"{signed}.{_encoded(key.sign(signed.encode('ascii')))}"


def verify_proof(proof: str, *, bound_to: str, method: str, target_uri: str, token: str, now: int) -> Proof:
    """Verify that the holder of the key that a token is bound to asks for exactly this.

    Args:
        proof: the value of the one `DPoP` field.
        bound_to: the thumbprint of the key that the token was issued for.
        method: as received.
        target_uri: as received, in its canonical form.
        token: as received.
        now: seconds since the epoch, UTC.

    Raises:
        ProofRefused: in every other case. The caller has to refuse a `jti` that it saw before.
    """
    if len(proof) > PROOF_CHARS_MAX:
        raise ProofRefused(f"a proof has at most {PROOF_CHARS_MAX} characters")
    parts = proof.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise ProofRefused("a proof is a JWT of three parts")
    header, claims = _members(parts[0], _HEADER), _members(parts[1], _CLAIMS)
    key = _key_of(header)
    if key.key_id != bound_to:
        raise ProofRefused("the proof is by another key than the one that the token is bound to")
    jti, issued_at = claims["jti"], claims["iat"]
    if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
        raise ProofRefused("jti must be 16 to 128 characters A-Z a-z 0-9 . _ ~ -")
    if not isinstance(issued_at, int) or isinstance(issued_at, bool):
        raise ProofRefused("iat must be whole seconds since the epoch")
    if claims["htm"] != method or claims["htu"] != _without_query(target_uri):
        raise ProofRefused("htm and htu must be this request's method and its target without the query")
    if claims["ath"] != _hash_of(token):
        raise ProofRefused("ath must be the SHA-256 of the token in base64url")
    if not now - PROOF_AGE_S_MAX <= issued_at <= now + profile.CLOCK_SKEW_S_MAX:
        raise ProofRefused("iat is too far from this clock: make a proof for each request, and set the clock")
    try:
        key.verify(_decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode("ascii"))
    except SignatureInvalid:
        raise ProofRefused("the proof's signature does not verify under the key that it holds") from None
    return Proof(key.key_id, jti, issued_at)


def _key_of(header: dict[str, object]) -> VerifyingKey:
    alg, jwk = header["alg"], header["jwk"]
    if header["typ"] != PROOF_TYPE or not isinstance(alg, str) or not isinstance(jwk, dict):
        raise ProofRefused(f"a proof's header holds typ {PROOF_TYPE}, alg and jwk")
    try:
        key = VerifyingKey.from_jwk(cast("dict[str, object]", jwk))
    except KeyRefused as refusal:
        raise ProofRefused(f"the proof's key is refused: {refusal}") from None
    if _ALGORITHMS.get(alg) != key.alg:
        raise ProofRefused("the proof's alg is not that of its key")
    return key


def _members(part: str, names: frozenset[str]) -> dict[str, object]:
    # The decoder's own words would hold what was sent, so they are no cause of the refusal.
    try:
        pairs = json.loads(_decoded(part).decode("utf-8"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Pairs):
        raise ProofRefused("a part of the proof is not one JSON object")
    members = dict(pairs)
    if len(members) != len(pairs) or members.keys() != names:
        raise ProofRefused(f"a part of the proof must hold, each once, {', '.join(sorted(names))}")
    jwk = members.get("jwk")
    if isinstance(jwk, _Pairs):
        if len(dict(jwk)) != len(jwk):
            raise ProofRefused("the proof's key has a member twice")
        members["jwk"] = dict(jwk)
    return members


def _decoded(part: str) -> bytes:
    """Read base64url in its one spelling: no padding, no bits left over."""
    if _PART.fullmatch(part) is None or len(part) % 4 == 1:
        raise ProofRefused("a part of the proof is not base64url")
    octets = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _encoded(octets) != part:
        raise ProofRefused("a part of the proof is not canonical base64url")
    return octets


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _json(members: dict[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("utf-8")


def _hash_of(token: str) -> str:
    return _encoded(hashlib.sha256(token.encode("ascii")).digest())


def _without_query(target_uri: str) -> str:
    return target_uri.partition("?")[0]


class _Pairs(list[tuple[str, object]]):
    """An object's members in order, repetitions included."""
