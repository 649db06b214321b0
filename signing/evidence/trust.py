"""The file of trusted keys: what an arbiter must have from elsewhere, such as the contract.

PEM blocks, each below a line that says what the key is: `# gateway`, `# log <name>` or
`# witness <name>`. Several of each may stand there, for keys change over the years. Pure.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import hashlib
import re
from binascii import a2b_base64
from dataclasses import dataclass
from typing import Final

from ..errors import KeyRefused
from ..keys import VerifyingKey
from .errors import TrustMalformed

TRUST_BYTES_MAX: Final = 64 * 1024  # about 250 keys; ten years of a log and its witnesses are two dozen
NAME_CHARS_MAX: Final = 64
# A name that can be a part of a file's name once each slash is an underscore.
NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*")
_BLOCK: Final = re.compile(
    r"\n*# (?:gateway|(?P<kind>log|witness) (?P<name>[a-z0-9./-]+))\n"
    r"(?P<pem>-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,256}-----END PUBLIC KEY-----\n)"
)


@dataclass(frozen=True, slots=True)
class NamedKey:
    """The Ed25519 key of a log or a witness, and its name; a log's is its origin."""

    name: str
    key: VerifyingKey


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys that a verifier trusts.

    Attributes:
        gateways: sign receipts and bundles' manifests.
        logs: sign checkpoints.
        witnesses: cosign checkpoints.
    """

    gateways: tuple[VerifyingKey, ...] = ()
    logs: tuple[NamedKey, ...] = ()
    witnesses: tuple[NamedKey, ...] = ()


def parse_trust(content: bytes) -> TrustedKeys:
    """Read a file of trusted keys.

    Raises:
        TrustMalformed: not of its form, a key twice, or a key that is not safe.
    """
    if len(content) > TRUST_BYTES_MAX:
        raise TrustMalformed(f"the file has more than {TRUST_BYTES_MAX} bytes")
    text = content.decode("latin-1").replace("\r\n", "\n")
    gateways: list[VerifyingKey] = []
    named: dict[str, list[NamedKey]] = {"log": [], "witness": []}
    position = 0
    while text[position:].strip("\n"):
        match = _BLOCK.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise TrustMalformed(
                f"after line {line} a key must follow: a line `# gateway`, `# log <name>` or "
                "`# witness <name>`, then a PEM public key"
            )
        position = match.end()
        try:
            key = VerifyingKey.from_spki_pem(match["pem"].encode("ascii"))
        except KeyRefused as error:
            raise TrustMalformed(f"a trusted key is refused: {error}") from error
        if match["kind"] is None:
            gateways.append(key)
        else:
            named[match["kind"]].append(NamedKey(match["name"], key))
    trust = TrustedKeys(tuple(gateways), tuple(named["log"]), tuple(named["witness"]))
    _require_sound(trust)
    return trust


def write_trust(trust: TrustedKeys) -> bytes:
    """Return the file of trusted keys.

    Raises:
        TrustMalformed: a name is not of its form, a key occurs twice, or a log or witness has no Ed25519 key.
    """
    _require_sound(trust)
    blocks = [b"# gateway\n" + key.to_spki_pem() for key in trust.gateways]
    for kind, keys in (("log", trust.logs), ("witness", trust.witnesses)):
        blocks += [f"# {kind} {named.name}\n".encode("ascii") + named.key.to_spki_pem() for named in keys]
    content = b"\n".join(blocks)
    if len(content) > TRUST_BYTES_MAX:
        raise TrustMalformed(f"the file would have more than {TRUST_BYTES_MAX} bytes")
    return content


def require_name(name: str) -> None:
    """Refuse a name of a log or a witness that could not be part of a file's name.

    Raises:
        TrustMalformed: it is not of its form.
    """
    if len(name) > NAME_CHARS_MAX or NAME.fullmatch(name) is None:
        raise TrustMalformed(
            f"a name is 1 to {NAME_CHARS_MAX} characters a-z 0-9 . -, in parts separated by a slash"
        )


def fingerprint(key: VerifyingKey) -> str:
    """Return the SHA-256 of the key's DER form in lower-case hexadecimal, as contracts print it.

    It is what `openssl pkey -pubin -outform DER | sha256sum` says.
    """
    encoded = b"".join(key.to_spki_pem().splitlines()[1:-1])
    return hashlib.sha256(a2b_base64(encoded)).hexdigest()


def _require_sound(trust: TrustedKeys) -> None:
    for group in (trust.logs, trust.witnesses):
        for named in group:
            require_name(named.name)
            if named.key.alg != "ed25519":
                raise TrustMalformed(f"the key of {named.name} is not Ed25519")
        if len(set(group)) != len(group):
            raise TrustMalformed("a key occurs twice")
    if len(set(trust.gateways)) != len(trust.gateways):
        raise TrustMalformed("a key occurs twice")
