"""The files of a bundle: their names, and the forms of those that are the bundle's own.

A bundle is a folder. Its parts for one request stand in `payment/`, in `registration/` for
the key that signed it, and in `registration-2/` and so on for the keys that vouched. Pure.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .. import profile
from .errors import BundleUnfit, HistoryInvalid, InclusionInvalid
from .tree import HASH_BYTES, PATH_HASHES_MAX, SIZE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER_PREFIX: Final = "countermark-evidence-"
MANIFEST: Final = "SHA256SUMS"
MANIFEST_SIGNATURE: Final = "SHA256SUMS.sig"
# Before the manifest when it is signed: a receipt begins with a quotation mark, so none passes for it.
MANIFEST_TITLE: Final = b"countermark-evidence-bundle-v1\n"
SCRIPT: Final = "verify.sh"
CHAIN_MAX: Final = 8  # keys from the one that signed back to a first key; a merchant rotates once a year
GATEWAY_KEYS_MAX: Final = 8  # one that signs the manifest, and those of the receipts in the chain
WITNESSES_MAX: Final = 16
# The part of a record that each file holds, for every request.
RECORD_FILES: Final = {
    "request.head": "request_head",
    "request.body": "request_body",
    "request.base": "request_base",
    "request.sig": "request_signature",
    "response.body": "response_body",
    "receipt.base": "receipt_base",
    "receipt.sig": "receipt_signature",
}
STATEMENT_FILES: Final = {"statement": "statement", "statement.sig": "statement_signature"}
_TOP: Final = (SCRIPT, "README", MANIFEST, MANIFEST_SIGNATURE, "checkpoint", "history", "keys/log.pem")
WITNESS_FILE_PREFIX: Final = "keys/witness-"
_WITNESS_FILE: Final = re.compile(WITNESS_FILE_PREFIX + r"[a-z0-9][a-z0-9._-]{0,63}\.pem")
_NUMBER = r"0|[1-9][0-9]{0,18}"
_PROOF: Final = re.compile(
    rf"index ({_NUMBER})\nsize ({_NUMBER})\n((?:[0-9a-f]{{64}}\n){{0,{PATH_HASHES_MAX}}})"
)
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
_HISTORY: Final = re.compile(
    r"countermark-key-history-v1\n"
    rf"key-id: (?P<key_id>{profile.KEY_ID.pattern})\n"
    r"merchant: (?P<merchant>[A-Za-z0-9_-]{1,64})\n"
    rf"registered-at-index: (?P<registered>{_NUMBER})\n"
    rf"revoked-at-index: (?P<revoked>none|{_NUMBER})\n"
    rf"compromised-since: (?P<compromised>none|{_TIME})\n"
    rf"tree-size: (?P<size>{_NUMBER})\n"
)


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a record's entry stands, and the way from there to the root.

    Attributes:
        index: the entry's index in the log.
        size: of the log at the checkpoint.
        path: from `inclusion_path`.
    """

    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """What the gateway says became of one key, up to the checkpoint.

    Attributes:
        key_id: the key.
        merchant_id: whose it is.
        registered_at: index of the entry of its registration.
        revoked_at: index of the entry of its revocation; None if the log held none at `tree_size`.
        compromised_since: since when the merchant says that others had the key, as `utc_text` writes it. A
            claim for the arbiter: it changes no verdict here.
        tree_size: of the log at the checkpoint.
    """

    key_id: str
    merchant_id: str
    registered_at: int
    revoked_at: int | None
    compromised_since: str | None
    tree_size: int


def registration_folder(position: int) -> str:
    """Return the folder of a key's registration; position 1 is the key that signed the payment."""
    return "registration" if position == 1 else f"registration-{position}"


def merchant_key_file(position: int) -> str:
    """Return the file of a merchant's key; position 1 is the key that signed the payment."""
    return "keys/merchant.pem" if position == 1 else f"keys/merchant-{position}.pem"


def gateway_key_file(position: int) -> str:
    """Return the file of a gateway's key; position 1 is the key that signed the manifest."""
    return "keys/gateway.pem" if position == 1 else f"keys/gateway-{position}.pem"


def witness_key_file(name: str) -> str:
    """Return the file of a witness's key; a slash of its name is an underscore, which no name holds."""
    return f"{WITNESS_FILE_PREFIX}{name.replace('/', '_')}.pem"


def count_of(files: Iterable[str], first: str, further: str) -> int:
    """Return how many of `first`, `further` with 2, with 3 and so on are there without a gap."""
    names, count = set(files), 0
    while (first if count == 0 else further.format(count + 1)) in names:
        count += 1
    return count


def why_not_complete(names: Iterable[str]) -> str | None:
    """Return which file is missing or one too many; None if the names are those of a bundle."""
    present = set(names)
    keys = count_of(present, "keys/merchant.pem", "keys/merchant-{}.pem")
    gateways = count_of(present, "keys/gateway.pem", "keys/gateway-{}.pem")
    if not 1 <= keys <= CHAIN_MAX or not 1 <= gateways <= GATEWAY_KEYS_MAX:
        return f"a bundle has 1 to {CHAIN_MAX} merchant keys and 1 to {GATEWAY_KEYS_MAX} gateway keys"
    expected = set(_TOP)
    expected |= {merchant_key_file(position) for position in range(1, keys + 1)}
    expected |= {gateway_key_file(position) for position in range(1, gateways + 1)}
    for folder in ("payment", *map(registration_folder, range(1, keys + 1))):
        expected |= {f"{folder}/{name}" for name in ("entry", "proof", *RECORD_FILES)}
        if folder != "payment" and f"{folder}/statement" in present:
            expected |= {f"{folder}/{name}" for name in STATEMENT_FILES}
    witnesses = {name for name in present if _WITNESS_FILE.fullmatch(name)}
    if len(witnesses) > WITNESSES_MAX:
        return f"a bundle has at most {WITNESSES_MAX} witnesses"
    for name in sorted(expected - present):
        return f"{name} is missing"
    for name in sorted(present - expected - witnesses):
        return f"{name!a} does not belong to a bundle"
    return None


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """Return the manifest over all files but itself and its signature, as `sha256sum` writes it."""
    return b"".join(
        f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode("ascii")
        for name in sorted(files)
        if name not in {MANIFEST, MANIFEST_SIGNATURE}
    )


def proof_text(proof: Proof) -> bytes:
    """Return the file `proof`.

    Raises:
        BundleUnfit: a number or a hash is not of its form.
    """
    content = f"index {proof.index}\nsize {proof.size}\n" + "".join(f"{part.hex()}\n" for part in proof.path)
    match = _PROOF.fullmatch(content)
    if match is None or any(len(part) != HASH_BYTES for part in proof.path):
        raise BundleUnfit("an index, a size or a path is not of its form")
    return content.encode("ascii")


def parse_proof(content: bytes) -> Proof:
    """Read a file `proof`.

    Raises:
        InclusionInvalid: not of its form.
    """
    match = _PROOF.fullmatch(content.decode("latin-1"))
    if match is None or int(match[2]) > SIZE_MAX:
        raise InclusionInvalid("a proof is an index, a size and one hash a line")
    return Proof(int(match[1]), int(match[2]), tuple(map(bytes.fromhex, match[3].split())))


def history_text(histories: Sequence[KeyHistory]) -> bytes:
    """Return the file `history`: one block for each key, in the order of the chain.

    Raises:
        BundleUnfit: a value is not of its form.
    """
    content = "\n".join(
        f"countermark-key-history-v1\nkey-id: {history.key_id}\nmerchant: {history.merchant_id}\n"
        f"registered-at-index: {history.registered_at}\n"
        f"revoked-at-index: {'none' if history.revoked_at is None else history.revoked_at}\n"
        f"compromised-since: {history.compromised_since or 'none'}\ntree-size: {history.tree_size}\n"
        for history in histories
    )
    try:
        parsed = parse_history(content.encode("ascii", "replace"))
    except HistoryInvalid as error:
        raise BundleUnfit(str(error)) from error
    if parsed != tuple(histories):
        raise BundleUnfit("a value of a key's history is not of its form")
    return content.encode("ascii")


def parse_history(content: bytes) -> tuple[KeyHistory, ...]:
    """Read a file `history`.

    Raises:
        HistoryInvalid: not of its form.
    """
    blocks = content.decode("latin-1").split("\n\n", CHAIN_MAX)
    texts = [block + "\n" for block in blocks[:-1]] + blocks[-1:]
    histories = []
    for text in texts:
        match = _HISTORY.fullmatch(text)
        if match is None:
            raise HistoryInvalid("the key history is not of its form")
        histories.append(
            KeyHistory(
                match["key_id"],
                match["merchant"],
                int(match["registered"]),
                None if match["revoked"] == "none" else int(match["revoked"]),
                None if match["compromised"] == "none" else match["compromised"],
                int(match["size"]),
            )
        )
    return tuple(histories)
