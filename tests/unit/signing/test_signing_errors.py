from __future__ import annotations

import re

import pytest

import signing
from signing import RequestRefused, SigningError, VerifyingKey, client_errors, errors


def _listed() -> list[type[SigningError]]:
    return [
        value
        for value in {**vars(errors), **vars(client_errors)}.values()
        if isinstance(value, type) and issubclass(value, SigningError)
    ]


def test_every_refusal_has_its_own_stable_code() -> None:
    codes: dict[str, type[SigningError]] = {}
    for error in _listed():
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", error.code)
        # A refused request and a refused signature share the one code that the wire knows.
        earlier = codes.setdefault(error.code, error)
        assert error is earlier or issubclass(error, earlier)


_CODES = {
    400: """body_missing body_not_allowed digest_malformed header_duplicated header_malformed
        idempotency_key_invalid idempotency_key_missing method_not_canonical request_refused
        signature_malformed target_not_canonical""",
    401: """digest_mismatch key_revoked key_unknown signature_expired signature_invalid signature_missing
        signature_too_early""",
    413: "too_large",
    415: "unsupported_media",
}


@pytest.mark.parametrize(("status", "codes"), _CODES.items())
def test_the_statuses_are_the_documented_ones(status: int, codes: str) -> None:
    refusals = [error for error in _listed() if issubclass(error, RequestRefused)]

    assert codes.split() == sorted(error.code for error in refusals if error.status == status)


def test_every_name_that_is_exported_exists_and_every_refusal_of_a_request_is_exported() -> None:
    for name in signing.__all__:
        assert hasattr(signing, name)
    exported = set(signing.__all__)

    assert {error.__name__ for error in _listed() if issubclass(error, RequestRefused)} <= exported
    assert {error.__name__ for error in _listed() if error.__module__ == client_errors.__name__} <= exported


def test_keys_are_equal_by_their_id() -> None:
    key = signing.SigningKey.generate("ecdsa-p256-sha256").verifying_key
    same = VerifyingKey.from_jwk(key.to_jwk())

    assert {key} == {same}
    assert key != key.key_id
    assert f"VerifyingKey(ecdsa-p256-sha256, {key.key_id})" == repr(key)
