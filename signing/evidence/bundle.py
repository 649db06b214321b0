"""Build the files of a bundle: everything that an arbiter needs but the keys that they must know already.

What is built is verified before it is handed out, under the keys that the builder names:
a bundle that its receiver would refuse is found out at home. Pure.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import BundleUnfit, EvidenceRefused
from .layout import (
    FOLDER_PREFIX,
    MANIFEST,
    MANIFEST_SIGNATURE,
    MANIFEST_TITLE,
    RECORD_FILES,
    SCRIPT,
    STATEMENT_FILES,
    KeyHistory,
    Proof,
    gateway_key_file,
    history_text,
    manifest_of,
    merchant_key_file,
    proof_text,
    registration_folder,
    witness_key_file,
)
from .script import bundle_readme, verify_script
from .trust import TrustedKeys, require_name
from .verification import verify_bundle

if TYPE_CHECKING:
    from ..keys import VerifyingKey
    from .entry import Record
    from .note import NoteSigner
    from .trust import NamedKey


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record, the index of its entry in the log, and the path from there to the checkpoint's root."""

    record: Record
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BundleParts:
    """What a bundle is made of.

    Attributes:
        payment: the payment that is to be proven.
        registrations: of the key that signed it, then of the key that vouched for that key, and so on to
            a first key, whose registration it signed itself.
        merchant_keys: the registered keys, in the same order.
        histories: of these keys, in the same order.
        size: of the log at the checkpoint.
        checkpoint_note: signed by the log, and cosigned by the witnesses.
        gateway_keys: those that signed receipts of these records; the manifest's signer may be left out.
        log: the log's key; its name is the checkpoint's origin.
        witnesses: those whose cosignature the note carries.
    """

    payment: LoggedRecord
    registrations: tuple[LoggedRecord, ...]
    merchant_keys: tuple[VerifyingKey, ...]
    histories: tuple[KeyHistory, ...]
    size: int
    checkpoint_note: bytes
    gateway_keys: tuple[VerifyingKey, ...]
    log: NamedKey
    witnesses: tuple[NamedKey, ...] = ()


def build_files(parts: BundleParts, gateway_signer: NoteSigner) -> dict[str, bytes]:
    """Return the files of a bundle by path below its folder, verified.

    Args:
        parts: what it is made of.
        gateway_signer: the gateway's receipt key, which signs the manifest.

    Raises:
        BundleUnfit: the bundle would not verify.
    """
    files = assemble_files(parts, gateway_signer)
    trust = TrustedKeys(
        tuple(dict.fromkeys((gateway_signer.verifying_key, *parts.gateway_keys))),
        (parts.log,),
        parts.witnesses,
    )
    try:
        verify_bundle(files, trust)
    except EvidenceRefused as error:
        raise BundleUnfit(f"the bundle would not verify ({error.code}): {error}") from error
    return files


def assemble_files(parts: BundleParts, gateway_signer: NoteSigner) -> dict[str, bytes]:
    """Do what `build_files` does, but for the verification.

    Raises:
        BundleUnfit: the parts do not even make files.
    """
    if not len(parts.registrations) == len(parts.merchant_keys) == len(parts.histories):
        raise BundleUnfit("each registration goes with one key and one history")
    files = {
        SCRIPT: verify_script(),
        "README": bundle_readme(),
        "checkpoint": parts.checkpoint_note,
        "history": history_text(parts.histories),
        "keys/log.pem": parts.log.key.to_spki_pem(),
    }
    gateway_keys = dict.fromkeys((gateway_signer.verifying_key, *parts.gateway_keys))
    for position, key in enumerate(gateway_keys, start=1):
        files[gateway_key_file(position)] = key.to_spki_pem()
    for position, key in enumerate(parts.merchant_keys, start=1):
        files[merchant_key_file(position)] = key.to_spki_pem()
    for witness in parts.witnesses:
        require_name(witness.name)
        if witness_key_file(witness.name) in files:
            raise BundleUnfit("a witness occurs twice")
        files[witness_key_file(witness.name)] = witness.key.to_spki_pem()
    folders = {"payment": parts.payment}
    folders |= {registration_folder(at): logged for at, logged in enumerate(parts.registrations, start=1)}
    for folder, logged in folders.items():
        files[f"{folder}/entry"] = logged.record.entry()
        files[f"{folder}/proof"] = proof_text(Proof(logged.index, parts.size, logged.path))
        for name, part in {**RECORD_FILES, **STATEMENT_FILES}.items():
            content = getattr(logged.record, part)
            if content is not None:
                files[f"{folder}/{name}"] = content
    files[MANIFEST] = manifest_of(files)
    files[MANIFEST_SIGNATURE] = gateway_signer.sign(MANIFEST_TITLE + files[MANIFEST])
    return files


def folder_name(subject: str) -> str:
    """Return the name of the folder of a bundle about this payment."""
    return FOLDER_PREFIX + subject
