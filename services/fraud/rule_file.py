"""The signed file of rules: TOML, and below it one comment line that signs all that is above (pure).

One file, so that rules and signature are renamed over together and never of two versions. The signature is
Ed25519 over a word that no other signature of ours begins with, and the bytes of the rules.
"""

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass

from services.fraud.errors import KeysRefused, RulesMalformed, RulesUnsigned
from services.fraud.rules import RULES_BYTES_MAX, RulePack, parse_rules
from signing import KeyRefused, SigningKey, VerifyingKey
from signing.errors import SigningError

CONTEXT = b"countermark-rule-pack-v1\n"
SIGNATURE_LINE_BYTES_MAX = 256
TRUST_BYTES_MAX = 64 * 1024  # Hundreds of keys; a handful is what anybody pins.
# 64 bytes have one spelling: the last character holds two bits, and four that must be zero (RFC 4648 §3.5).
_LINE = re.compile(rb"# countermark-rule-pack-v1 ([A-Za-z0-9_-]{43}) ([A-Za-z0-9+/]{85}[AQgw]==)\n")
_MARK = b"# countermark-rule-pack-v1 "
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,256}-----END PUBLIC KEY-----\n")


@dataclass(frozen=True, slots=True)
class SignedRules:
    """Rules whose signature was verified.

    Attributes:
        document: The whole file, as it was read.
        digest: SHA-256 of the rules without the signature.
        signer: Key id of who signed, the thumbprint of RFC 7638.
    """

    pack: RulePack
    document: bytes
    digest: bytes
    signer: str

    @property
    def label(self) -> str:
        """What a verdict names them by."""
        return f"{self.pack.name}@{self.pack.version}:{self.digest.hex()}"


def sign_rules(body: bytes, key: SigningKey) -> bytes:
    """Sign rules, or sign them anew: a signature in the last line is replaced.

    Raises:
        RulesMalformed: They are no rules, or have a signature in the middle; nothing is signed that would be
            refused, and nothing is left out of what is signed.
        KeysRefused: The key is not Ed25519.
    """
    if key.alg != "ed25519":
        raise KeysRefused("rules are signed with Ed25519: make another key")
    start = body.rfind(_MARK)
    rules = body[:start] if start >= 0 and _LINE.fullmatch(body, start) else body
    if _MARK in rules:
        raise RulesMalformed("the rules have the beginning of a signature inside: take that line out")
    if not rules.endswith(b"\n"):
        rules += b"\n"
    parse_rules(rules)
    signature = b2a_base64(key.sign(CONTEXT + rules), newline=False)
    return rules + _MARK + key.key_id.encode() + b" " + signature + b"\n"


def open_rules(document: bytes, trusted: Sequence[VerifyingKey]) -> SignedRules:
    """Verify, and only then read.

    Raises:
        RulesUnsigned: No signature in the last line, or none of a pinned key over exactly these bytes.
        RulesMalformed: What was signed is no rule pack.
    """
    if len(document) > RULES_BYTES_MAX + SIGNATURE_LINE_BYTES_MAX:
        raise RulesMalformed(f"the file is larger than {RULES_BYTES_MAX} bytes")
    start = document.rfind(_MARK)
    line = _LINE.fullmatch(document, start) if start > 0 else None
    if line is None or document[start - 1 : start] != b"\n":
        raise RulesUnsigned("the rules have no signature in their last line: sign them with `rules sign`")
    key_id, rules = line[1].decode(), document[:start]
    for key in trusted:
        if key.key_id != key_id or key.alg != "ed25519":
            continue
        try:
            key.verify(a2b_base64(line[2]), CONTEXT + rules)
        except SigningError as fault:
            raise RulesUnsigned("the rules are not what was signed: get the file again") from fault
        return SignedRules(parse_rules(rules), document, hashlib.sha256(rules).digest(), key_id)
    raise RulesUnsigned(f"the rules are signed by {key_id}, which is not a pinned key")


def parse_pinned_keys(content: bytes) -> list[VerifyingKey]:
    """Read the file of keys that may sign rules: PEM blocks and nothing else.

    Raises:
        KeysRefused: No key, something else than keys, or one that is not a safe Ed25519 key.
    """
    blocks = _PEM.findall(content) if len(content) <= TRUST_BYTES_MAX else []
    if not blocks or b"".join(blocks) != content:
        raise KeysRefused("the pinned keys are PEM blocks `PUBLIC KEY`, at least one, and nothing else")
    try:
        keys = [VerifyingKey.from_spki_pem(block) for block in blocks]
    except KeyRefused as fault:
        raise KeysRefused(f"a pinned key cannot be used: {fault}") from fault
    if any(key.alg != "ed25519" for key in keys):
        raise KeysRefused("a pinned key is not Ed25519")
    return keys
