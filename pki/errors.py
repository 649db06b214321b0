"""The closed list of what this package refuses.

Each class has a `code` that never changes; the message is for the operator and says what to do. Nothing in
a message is secret: no passphrase, no key, no plaintext of a sealed file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pki.consumers.contract import Unconfirmed


class PKIError(Exception):
    """The one base: catch this at a command's edge, never in the middle."""

    code: ClassVar[str] = "pki-error"


class IdentityError(PKIError):
    """A workload name, trust domain or SPIFFE id is not exactly of our form."""

    code = "identity"


class ProfileError(PKIError):
    """A certificate about to be signed violates its profile; nothing was signed."""

    code = "profile"


class SealError(PKIError):
    """A sealed key could not be opened: wrong passphrase, altered file, or parameters beyond the limits."""

    code = "seal"


class BackupError(PKIError):
    """A backup cannot be written, opened or put in place; what is in force stays as it is."""

    code = "backup"


class LedgerError(PKIError):
    """The issuance ledger was altered, cut in the middle, or reordered."""

    code = "ledger"


class AlreadyInitialised(PKIError):
    """There is an authority here already; making another would orphan every certificate it issued."""

    code = "already-initialised"


class NotInitialised(PKIError):
    """There is no authority here."""

    code = "not-initialised"


class AuthorityExpired(PKIError):
    """The issuing CA cannot sign a useful certificate any more."""

    code = "authority-expired"


class MeshFileError(PKIError):
    """The mesh file cannot be read, or declares no service."""

    code = "mesh-file"


class PolicyError(PKIError):
    """The reviewed policy cannot be read, is broken, differs from the mesh, or does not list a workload."""

    code = "policy"


class TreeError(PKIError):
    """The certificate tree is damaged, changed meanwhile, or cannot be written as asked."""

    code = "tree"


class TreeBusy(PKIError):
    """Another command holds the certificate tree."""

    code = "busy"


class ClockFault(PKIError):
    """This machine's clock contradicts the record; signing by it would break the mesh later."""

    code = "clock"


class RotationFault(PKIError):
    """A rotation cannot begin, go on or go back from where it stands."""

    code = "rotation"


class RevocationFault(PKIError):
    """What is to be revoked is not a certificate on the record, or cannot be revoked any more."""

    code = "revocation"


class UnconfirmedConsumers(PKIError):
    """Consumers were not observed to use what they must; the next stage is blocked, everything goes on.

    Attributes:
        unconfirmed: who, where, and what was seen instead.
    """

    code = "unconfirmed"

    def __init__(self, message: str, unconfirmed: tuple[Unconfirmed, ...] = ()) -> None:
        super().__init__(message)
        self.unconfirmed = unconfirmed


class SecretExposed(PKIError):
    """A secret can be read by accounts that have no business with it, or is tracked by git."""

    code = "secret-exposed"


class GenerationError(PKIError):
    """A generation directory does not hold a coherent certificate, key and trust bundle."""

    code = "generation"


class DeploymentError(PKIError):
    """The description of the running deployment cannot be read, or is not one of ours."""

    code = "deployment"


class ConsumerAway(PKIError):
    """A consumer could not be told or asked, or did not prove that it is who it must be."""

    code = "consumer-away"
