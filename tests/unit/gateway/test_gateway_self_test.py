from __future__ import annotations

import pytest

from gateway.access.self_test import VerificationBroken, require_working_verification
from signing.verifying_key import VerifyingKey

NOW = 1_790_000_000


def test_a_process_that_verifies_starts() -> None:
    require_working_verification(now=NOW)


def test_a_process_whose_primitive_accepts_everything_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerifyingKey, "verify", lambda *_: None)

    with pytest.raises(VerificationBroken, match=r"a moved signature \(ed25519\) is accepted"):
        require_working_verification(now=NOW)


def test_a_process_whose_digest_is_not_compared_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signing.request_verification.is_digest_of", lambda *_: True)

    with pytest.raises(VerificationBroken, match="a swapped body"):
        require_working_verification(now=NOW)


def test_a_process_that_refuses_everything_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signing.request_verification.is_digest_of", lambda *_: False)

    with pytest.raises(VerificationBroken, match="a good ed25519 request is refused as digest_mismatch"):
        require_working_verification(now=NOW)
