"""The closed list of what the fraud service refuses."""

from __future__ import annotations

from typing import ClassVar


class FraudError(Exception):
    """The one base; `code` is stable."""

    code: ClassVar[str] = "fraud-error"


class RulesMalformed(FraudError):
    """The rules are not of the agreed form; the message says where."""

    code = "rules-malformed"


class RulesUnsigned(FraudError):
    """There is no signature, or none that a pinned key made of exactly these rules."""

    code = "rules-unsigned"


class RulesRolledBack(FraudError):
    """The rules are older than those used last, or have their version and other contents."""

    code = "rules-rolled-back"


class RulesStale(FraudError):
    """Another worker has adopted newer rules; nothing is decided by the old ones any more."""

    code = "rules-stale"


class KeysRefused(FraudError):
    """The file of pinned keys, or of the signing key, cannot be used."""

    code = "keys-refused"
