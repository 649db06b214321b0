"""Evidence: entries of the log, its Merkle tree, signed checkpoints, and bundles that an arbiter verifies.

Pure: what is read and written goes through the caller. Everything that comes from
outside is parsed strictly, and refused with one of the errors in `errors`.
Source: RFC 6962, RFC 9162 §2, C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles.
"""

from .archive import folder_of, pack, unpack
from .bundle import BundleParts, LoggedRecord, build_files, folder_name
from .checkpoint import (
    AddCheckpointRequest,
    Checkpoint,
    add_checkpoint_request,
    checkpoint_body,
    parse_add_checkpoint_request,
    parse_checkpoint_body,
)
from .entry import HASHED, KINDS, Entry, Kind, Record, parse_entry, utc_text
from .errors import EvidenceRefused
from .finding import Finding
from .layout import KeyHistory
from .note import (
    Note,
    NoteSignature,
    NoteSigner,
    cosign,
    make_note,
    parse_note,
    sign_note,
    verify_cosignature,
    verify_log_signature,
)
from .note_key import COSIGNATURE, LOG_SIGNATURE, parse_vkey, vkey
from .script import SCRIPT_SHA256, bundle_readme, verify_script
from .tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    append_leaves,
    node_from_tiles,
    parse_tile_path,
    tile_path,
)
from .tree import (
    EMPTY_ROOT,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from .trust import NamedKey, TrustedKeys, fingerprint, parse_trust, write_trust
from .verification import VerifiedBundle, verify_bundle

__all__ = [
    "COSIGNATURE",
    "EMPTY_ROOT",
    "HASHED",
    "KINDS",
    "LOG_SIGNATURE",
    "SCRIPT_SHA256",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "AddCheckpointRequest",
    "BundleParts",
    "Checkpoint",
    "Entry",
    "EvidenceRefused",
    "Finding",
    "KeyHistory",
    "Kind",
    "LoggedRecord",
    "NamedKey",
    "Note",
    "NoteSignature",
    "NoteSigner",
    "Record",
    "Tile",
    "TrustedKeys",
    "VerifiedBundle",
    "add_checkpoint_request",
    "append_leaves",
    "build_files",
    "bundle_readme",
    "checkpoint_body",
    "consistency_path",
    "cosign",
    "fingerprint",
    "folder_name",
    "folder_of",
    "inclusion_path",
    "leaf_hash",
    "make_note",
    "node_from_tiles",
    "node_hash",
    "pack",
    "parse_add_checkpoint_request",
    "parse_checkpoint_body",
    "parse_entry",
    "parse_note",
    "parse_tile_path",
    "parse_trust",
    "parse_vkey",
    "root",
    "sign_note",
    "tile_path",
    "unpack",
    "utc_text",
    "verify_bundle",
    "verify_consistency",
    "verify_cosignature",
    "verify_inclusion",
    "verify_log_signature",
    "verify_script",
    "vkey",
    "write_trust",
]
