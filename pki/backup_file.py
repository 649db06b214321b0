"""A backup as one sealed file: a readable first line, then everything else under AES-256-GCM.

The first line says what the file is and carries the parameters of scrypt; it is authenticated as it stands.
Inside is an index of names and lengths, then the files. Pure: salt and nonce are arguments. Source: RFC 7914
(scrypt); NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pki.errors import BackupError, SealError
from pki.seal import DEFAULT_COST, KEY_BYTES, NONCE_BYTES, SALT_BYTES, ScryptCost, require_passphrase

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "countermark-backup"
VERSION = 1
# The ledger grows by 0.5 kB for each line, some 6,000 lines a year for a mesh of fifteen workloads: this is
# twenty years of it. All of it is held in memory, a parsed line taking some 8 kB.
FILES_BYTES_MAX = 64 * 2**20
HEAD_BYTES_MAX = 4096
# An index entry is under 100 bytes, and there are four files for each CA that there ever was.
INDEX_BYTES_MAX = 2**20
BACKUP_BYTES_MAX = HEAD_BYTES_MAX + INDEX_BYTES_MAX + FILES_BYTES_MAX
STATE_NAME = "state.json"
LEDGER_NAME = "ledger.jsonl"
# Live keys are not among them: a workload gets a new one instead.
AUTHORITY_FILES = ("cert.pem", "key.sealed", "crl.pem", "crl-prepared.pem")
_NAME = re.compile(
    r"state\.json|ledger\.jsonl|ca/(?:root|intermediate)-\d{8}-[0-9a-f]{8}/(?:cert\.pem|key\.sealed|crl\.pem|crl-prepared\.pem)",
    re.ASCII,
)
_FIELDS: dict[str, type] = {
    "format": str,
    "version": int,
    "trust_domain": str,
    "created": str,
    "ledger_lines": int,
    "ledger_head": str,
    "kdf": str,
    "n": int,
    "r": int,
    "p": int,
    "salt": str,
    "nonce": str,
    "sealed_bytes": int,
}


@dataclass(frozen=True, slots=True)
class BackupHead:
    """What a backup says of itself; proven once it was opened.

    Attributes:
        trust_domain: of the authority.
        created: ISO 8601, UTC.
        ledger_lines: how many lines the ledger had.
        ledger_head: digest of the last one, hex; compare it with what was published.
    """

    trust_domain: str
    created: str
    ledger_lines: int
    ledger_head: str


def seal_backup(
    files: Mapping[str, bytes],
    head: BackupHead,
    passphrase: bytes,
    *,
    salt: bytes,
    nonce: bytes,
    cost: ScryptCost = DEFAULT_COST,
) -> bytes:
    """Return the bytes of a backup.

    Args:
        files: contents by name, relative to the tree: `state.json`, `ledger.jsonl`, `ca/<id>/cert.pem`, ...
        head: of this backup.
        passphrase: 12 to 1024 bytes.
        salt: 32 random bytes, never used before.
        nonce: 12 random bytes.
        cost: of one guess at the passphrase.

    Raises:
        BackupError: there is too much of it, or a file that belongs in no backup.
        SealError: the passphrase is too short or too long.
    """
    for name in files:
        if _NAME.fullmatch(name) is None:
            raise BackupError(f"{name[:100]!r} does not belong in a backup")
    if sum(map(len, files.values())) > FILES_BYTES_MAX:
        raise BackupError(
            f"the files of this authority have more than the {FILES_BYTES_MAX} bytes that a backup holds: "
            "archive the certificate tree as a whole, sealed by other means"
        )
    index = json.dumps([[name, len(data)] for name, data in files.items()]).encode() + b"\n"
    plaintext = index + b"".join(files.values())
    key = _derive(passphrase, salt, cost)
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "trust_domain": head.trust_domain,
        "created": head.created,
        "ledger_lines": head.ledger_lines,
        "ledger_head": head.ledger_head,
        "kdf": "scrypt",
        "n": cost.n,
        "r": cost.r,
        "p": cost.p,
        "salt": base64.b64encode(salt).decode(),
        "nonce": base64.b64encode(nonce).decode(),
        "sealed_bytes": len(plaintext) + 16,  # GCM adds its tag
    }
    line = json.dumps(fields).encode() + b"\n"
    return line + AESGCM(key).encrypt(nonce, plaintext, line)


def open_backup(data: bytes, passphrase: bytes) -> tuple[dict[str, bytes], BackupHead]:
    """Open a backup.

    Returns:
        Contents by name, as given to `seal_backup`, and its head.

    Raises:
        BackupError: not a backup of ours, cut, altered, or another passphrase (the last two not told apart).
        SealError: the passphrase is too short or too long.
    """
    line, fields = _read_head(data)
    sealed = data[len(line) :]
    if len(sealed) < fields["sealed_bytes"]:
        raise BackupError(
            f"the backup is cut: {len(data)} of {len(line) + fields['sealed_bytes']} bytes are there; "
            "take another copy"
        )
    try:
        cost = ScryptCost(fields["n"], fields["r"], fields["p"])
        salt, nonce = (base64.b64decode(fields[name], validate=True) for name in ("salt", "nonce"))
    except (binascii.Error, ValueError, SealError) as fault:
        raise BackupError("the first line of the backup was altered: take another copy") from fault
    if (len(salt), len(nonce)) != (SALT_BYTES, NONCE_BYTES):
        raise BackupError("the first line of the backup was altered: take another copy")
    try:
        plaintext = AESGCM(_derive(passphrase, salt, cost)).decrypt(nonce, sealed, line)
    except InvalidTag as fault:
        raise BackupError(
            "the backup did not open: the passphrase is wrong, or the file was altered; try another copy "
            "before more passphrases"
        ) from fault
    head = BackupHead(
        fields["trust_domain"], fields["created"], fields["ledger_lines"], fields["ledger_head"]
    )
    return _unpack(plaintext), head


def _read_head(data: bytes) -> tuple[bytes, dict[str, Any]]:
    refusal = BackupError("this is not a backup of ours: name the file that `python -m pki backup` wrote")
    end = data.find(b"\n", 0, HEAD_BYTES_MAX)
    if end < 0 or len(data) > BACKUP_BYTES_MAX:
        raise refusal
    line = data[: end + 1]
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise refusal from fault
    if not isinstance(fields, dict) or fields.keys() != _FIELDS.keys():
        raise refusal
    if any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
        raise refusal
    if fields["format"] != FORMAT or fields["kdf"] != "scrypt":
        raise refusal
    if fields["version"] != VERSION:
        raise BackupError(f"the backup is of version {fields['version']}; this code knows {VERSION}")
    return line, fields


def _unpack(plaintext: bytes) -> dict[str, bytes]:
    refusal = BackupError(
        "the backup is sealed well and holds what none of ours holds: it was not made by us"
    )
    end = plaintext.find(b"\n", 0, INDEX_BYTES_MAX)
    try:
        index = json.loads(plaintext[: max(end, 0)])
        entries = [(name, length) for name, length in index]
    except (ValueError, TypeError, RecursionError) as fault:
        raise refusal from fault
    files: dict[str, bytes] = {}
    offset = end + 1
    for name, length in entries:
        if type(name) is not str or type(length) is not int or length < 0 or name in files:
            raise refusal
        if _NAME.fullmatch(name) is None:
            raise refusal
        files[name] = plaintext[offset : offset + length]
        offset += length
    if offset != len(plaintext) or not {STATE_NAME, LEDGER_NAME} <= files.keys():
        raise refusal
    return files


def _derive(passphrase: bytes, salt: bytes, cost: ScryptCost) -> bytes:
    require_passphrase(passphrase)
    return Scrypt(salt=salt, length=KEY_BYTES, n=cost.n, r=cost.r, p=cost.p).derive(passphrase)
