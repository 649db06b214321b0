from __future__ import annotations

import hashlib
import subprocess

import pytest

from signing.evidence import NamedKey, TrustedKeys, fingerprint, parse_trust, write_trust
from signing.evidence.errors import TrustMalformed
from signing.evidence.trust import TRUST_BYTES_MAX
from tests.unit.signing import signing_samples as samples

GATEWAY, GATEWAY_2 = samples.GATEWAY_P256.verifying_key, samples.GATEWAY.verifying_key
LOG, WITNESS = samples.ed25519_key("log").verifying_key, samples.ed25519_key("witness").verifying_key
TRUST = TrustedKeys(
    (GATEWAY, GATEWAY_2), (NamedKey("log.example/eu", LOG),), (NamedKey("witness.example/1", WITNESS),)
)
TEXT = write_trust(TRUST)


def test_what_is_written_is_read() -> None:
    assert TRUST == parse_trust(TEXT)
    assert TrustedKeys() == parse_trust(b"")
    assert b"" == write_trust(TrustedKeys())
    assert TRUST == parse_trust(TEXT.replace(b"\n", b"\r\n"))
    assert TRUST == parse_trust(b"\n\n" + TEXT + b"\n")


def test_the_file_is_these_lines() -> None:
    expected = [b"# gateway", b"# gateway", b"# log log.example/eu", b"# witness witness.example/1"]

    assert expected == [line for line in TEXT.splitlines() if line.startswith(b"#")]
    assert TEXT.startswith(b"# gateway\n" + GATEWAY.to_spki_pem() + b"\n# gateway\n")


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        TEXT + b"x",
        TEXT[:-1],
        TEXT.replace(b"# gateway", b"# gate", 1),
        TEXT.replace(b"# gateway", b"", 1),
        TEXT.replace(b"# log log.example/eu", b"# log"),
        TEXT.replace(b"log.example/eu", b"Log.example"),
        TEXT.replace(b"log.example/eu", b"log_example"),
        TEXT.replace(b"log.example/eu", b"log//example"),
        TEXT.replace(b"log.example/eu", b"l" * 65),
        TEXT.replace(b"log.example/eu", b"../eu"),
        TEXT + b"\n# gateway\n" + GATEWAY.to_spki_pem(),
        b"# log a\n" + GATEWAY.to_spki_pem(),
        TEXT.replace(b"PUBLIC", b"PRIVATE"),
        b"# gateway\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"\n" * (TRUST_BYTES_MAX + 1),
    ],
)
def test_another_text_is_refused(content: bytes) -> None:
    with pytest.raises(TrustMalformed):
        parse_trust(content)


def test_keys_that_could_not_be_read_again_are_not_written() -> None:
    for trust in (
        TrustedKeys((GATEWAY, GATEWAY)),
        TrustedKeys((), (NamedKey("a b", LOG),)),
        TrustedKeys((), (), (NamedKey("a", GATEWAY),)),
    ):
        with pytest.raises(TrustMalformed):
            write_trust(trust)


@pytest.mark.parametrize("key", [GATEWAY, LOG])
def test_a_fingerprint_is_what_openssl_and_sha256sum_say(key: object) -> None:
    pem = key.to_spki_pem()  # type: ignore[attr-defined]
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=pem, capture_output=True, check=True
    ).stdout

    assert hashlib.sha256(der).hexdigest() == fingerprint(key)  # type: ignore[arg-type]
