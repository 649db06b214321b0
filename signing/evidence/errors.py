"""The closed list of reasons for which evidence is refused.

Each class has a stable `code` beginning with `evidence_`; the message is written for
people and may change. Source: DECISIONS, and the list in `signing.errors` for requests and receipts.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

from ..errors import SignatureInvalid, SigningError


class EvidenceRefused(SigningError):
    """Refuse evidence, or what was to become evidence."""

    code = "evidence_refused"


class RecordUnfit(EvidenceRefused):
    """A record has a value that is not of its form, so no entry is written for it."""

    code = "evidence_record_unfit"


class EntryMalformed(EvidenceRefused):
    """These bytes are no entry in its one form."""

    code = "evidence_entry_malformed"


class TreeBoundsRefused(EvidenceRefused):
    """An index or a size that the tree does not have."""

    code = "evidence_tree_bounds"


class InclusionInvalid(EvidenceRefused):
    """The path does not lead from this leaf to this root."""

    code = "evidence_inclusion_invalid"


class ConsistencyInvalid(EvidenceRefused):
    """The path does not show that the later tree continues the earlier one."""

    code = "evidence_consistency_invalid"


class TileRefused(EvidenceRefused):
    """A tile's path or content is not of its form, or lacks a hash that the tree's size promises."""

    code = "evidence_tile_refused"


class NoteMalformed(EvidenceRefused):
    """These bytes are no signed note, checkpoint or witness request in its one form."""

    code = "evidence_note_malformed"


class NoteKeyRefused(EvidenceRefused):
    """A verifier key or its name cannot be used for notes."""

    code = "evidence_note_key_refused"


class NoteNotSigned(EvidenceRefused):
    """The note carries no signature by this key."""

    code = "evidence_note_not_signed"


class NoteSignatureInvalid(EvidenceRefused, SignatureInvalid):
    """The note carries a signature under this key's name and id that is not by it."""

    code = "evidence_note_signature_invalid"


class TrustMalformed(EvidenceRefused):
    """The file of trusted keys is not of its form."""

    code = "evidence_trust_malformed"


class BundleUnfit(EvidenceRefused):
    """These parts do not make a bundle that would verify."""

    code = "evidence_bundle_unfit"


class ArchiveMalformed(EvidenceRefused):
    """The archive is not one that `pack` made: too large, another form, or bytes that mean nothing."""

    code = "evidence_archive_malformed"


class FilesDiffer(EvidenceRefused):
    """A file is missing, is one too many, or is not the one that the manifest lists."""

    code = "evidence_files_differ"


class KeyUntrusted(EvidenceRefused):
    """A key that signed is not among those that the verifier trusts."""

    code = "evidence_key_untrusted"


class ManifestInvalid(EvidenceRefused, SignatureInvalid):
    """The manifest is not of its form, or the gateway did not sign it."""

    code = "evidence_manifest_invalid"


class ScriptUnknown(EvidenceRefused):
    """The script in the bundle is none that this package ever shipped."""

    code = "evidence_script_unknown"


class RequestMismatch(EvidenceRefused):
    """Header, body, signature base and signature of a request do not belong together."""

    code = "evidence_request_mismatch"


class ReceiptMismatch(EvidenceRefused):
    """The receipt is not the gateway's signature on this answer to this request."""

    code = "evidence_receipt_mismatch"


class EntryMismatch(EvidenceRefused):
    """The log's entry is about something else than the files beside it."""

    code = "evidence_entry_mismatch"


class TimesImplausible(EvidenceRefused):
    """The times in the evidence contradict each other."""

    code = "evidence_times_implausible"


class CheckpointInvalid(EvidenceRefused):
    """The checkpoint is about another tree than the proofs."""

    code = "evidence_checkpoint_invalid"


class RegistrationInvalid(EvidenceRefused):
    """The registration does not show that this key is this merchant's."""

    code = "evidence_registration_invalid"


class HistoryInvalid(EvidenceRefused):
    """The key history is not of its form, or is about other keys or another tree."""

    code = "evidence_history_invalid"


class RevokedBefore(EvidenceRefused):
    """The key had been revoked when the log took the entry, or was not yet registered."""

    code = "evidence_revoked_before"
