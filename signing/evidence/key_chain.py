"""The merchant's keys in a bundle: whose they are, who vouched for them, and that they were good in time.

A key counts from the entry of its registration to the entry of its revocation, if there is
one. The order of the log decides, not a clock. Where a revocation stands is the gateway's
word, in the file `history`. Pure. Source: RFC 9421 §7.3.4, ISO/IEC 13888-1.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import profile
from ..errors import RegistrationRefused
from ..registration import STATEMENT_AGE_S_MAX, parse_registration_statement, verify_possession
from .errors import HistoryInvalid, RegistrationInvalid, RevokedBefore, TimesImplausible
from .finding import Finding
from .layout import KeyHistory, parse_history, registration_folder
from .logged_request import DECISION_S_MAX, verify_logged_request
from .trust import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..keys import VerifyingKey
    from .checkpoint import Checkpoint
    from .logged_request import LoggedRequest


def verify_key_chain(
    files: Mapping[str, bytes],
    keys: Sequence[VerifyingKey],
    payment: LoggedRequest,
    gateway_keys: Mapping[str, VerifyingKey],
    checkpoint: Checkpoint,
) -> list[Finding]:
    """Verify the registrations of the key that signed the payment and of those that vouched.

    Args:
        files: of the whole bundle.
        keys: the key that signed the payment, the one that vouched for it, and so on to a first key.
        payment: verified.
        gateway_keys: trusted, by key id.
        checkpoint: of the log.

    Raises:
        EvidenceRefused: the first thing that does not hold.
    """
    histories = parse_history(files["history"])
    if len(histories) != len(keys):
        raise HistoryInvalid("the key history is about more or fewer keys than the bundle")
    findings = []
    used_at = payment.proof.index
    for position, key in enumerate(keys, start=1):
        # The last key of the chain is a first key: it signed the request that introduced it.
        signer = keys[position] if position < len(keys) else key
        folder = registration_folder(position)
        logged = verify_logged_request(files, folder, "key-registration", signer, gateway_keys, checkpoint)
        _verify_registration(logged, key, payment.record.merchant_id)
        _verify_validity(histories[position - 1], logged, key, used_at)
        findings += _findings(histories[position - 1], logged, gateway_keys, used_at)
        used_at = logged.proof.index
    return findings


def _verify_registration(logged: LoggedRequest, key: VerifyingKey, merchant_id: str) -> None:
    record = logged.record
    if record.subject != key.key_id or record.merchant_id != merchant_id:
        raise RegistrationInvalid("the registration is of another key or another merchant")
    answer = logged.receipt.response.body
    if any(f'"{name}"'.encode("ascii") not in answer for name in (key.key_id, merchant_id)):
        raise RegistrationInvalid("the gateway's answer to the registration names another key or merchant")
    if record.statement is None or record.statement_signature is None:
        if record.key_id != key.key_id:
            raise RegistrationInvalid("a key that another one vouched for comes without its own statement")
        return
    try:
        issued_at = parse_registration_statement(record.statement).issued_at
        # Whether its time fits the decision is asked next.
        verify_possession(
            record.statement, record.statement_signature, key, merchant_id=merchant_id, now=issued_at
        )
    except RegistrationRefused as error:
        raise RegistrationInvalid(f"the registration statement: {error}") from error
    latest = issued_at + STATEMENT_AGE_S_MAX + DECISION_S_MAX
    if not issued_at - profile.CLOCK_SKEW_S_MAX <= logged.decided_at <= latest:
        raise TimesImplausible("the registration was not decided while its statement could be used")


def _verify_validity(history: KeyHistory, logged: LoggedRequest, key: VerifyingKey, used_at: int) -> None:
    index, size = logged.proof.index, logged.proof.size
    expected = KeyHistory(
        key.key_id, logged.record.merchant_id, index, history.revoked_at, history.compromised_since, size
    )
    if history != expected:
        raise HistoryInvalid("the key history is about another key, merchant, registration or tree")
    if not index < used_at:
        raise RevokedBefore(f"the key was used at entry {used_at} and registered at entry {index} only")
    if history.revoked_at is not None and not used_at < history.revoked_at:
        raise RevokedBefore(f"the key was revoked at entry {history.revoked_at}, and used at {used_at}")
    if history.revoked_at is not None and not history.revoked_at < size:
        raise HistoryInvalid("the revocation stands after the end of the tree")


def _findings(
    history: KeyHistory, logged: LoggedRequest, gateway_keys: Mapping[str, VerifyingKey], used_at: int
) -> list[Finding]:
    key_id, record = history.key_id, logged.record
    registered = f"key {key_id} was registered for merchant {record.merchant_id}"
    gateway = fingerprint(gateway_keys[logged.receipt.key_id])
    revoked = "none" if history.revoked_at is None else f"at entry {history.revoked_at}"
    findings = [
        Finding(
            True,
            f"{registered}, as entry {history.registered_at}",
            f"merchant key {record.key_id} and gateway key {gateway}",
            f"{record.decided_at} by the gateway's clock",
        ),
        Finding(
            False,
            f"that key {key_id} was not revoked before entry {used_at}; "
            f"the gateway's word for its revocation: {revoked}",
        ),
    ]
    if history.compromised_since is not None:
        findings.append(
            Finding(False, f"that others had key {key_id} since {history.compromised_since}, as is claimed")
        )
    return findings
