"""The command's keys and passphrases, run in this process; one test starts it as people do."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signing import (
    SigningKey,
    VerifyingKey,
    keys_to_jwks,
    signing_key_to_jwk,
    verify_possession,
)
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.command_run import URL, Run, body_path, key_path, request_path

__all__ = ["body_path", "key_path", "request_path"]  # fixtures, found by name in this module


def _descriptor(content: bytes) -> int:
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    return read_end


def test_keygen_writes_a_private_file_and_the_public_jwk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    run = Run(capsys, "keygen", "--alg", "ecdsa-p256-sha256", "--out", path)
    key = SigningKey.from_pem(path.read_bytes())
    public = VerifyingKey.from_jwk(json.loads((tmp_path / "key.jwk.json").read_bytes()))

    assert (run.code, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)
    assert (key.verifying_key, "ecdsa-p256-sha256") == (public, key.alg)
    assert f"key-id: {key.key_id}\npublic-key: {tmp_path / 'key.jwk.json'}\n" == run.out


def test_keygen_never_overwrites(key_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = key_path.read_bytes()
    run = Run(capsys, "keygen", "--out", key_path)
    (key_path.parent / "merchant.jwk.json").unlink()
    again = Run(capsys, "keygen", "--out", key_path)

    assert (2, 2, before) == (run.code, again.code, key_path.read_bytes())
    assert not (key_path.parent / "merchant.jwk.json").exists()


def test_an_encrypted_key_signs_with_its_passphrase_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    made = Run(capsys, "keygen", "--out", path, "--passphrase-fd", str(_descriptor(b"horse battery\n")))
    sign = ("sign", "--key", path, "--method", "GET", "--url", URL, "--passphrase-fd")
    right = Run(capsys, *sign, str(_descriptor(b"horse battery\n")))
    wrong = Run(capsys, *sign, str(_descriptor(b"donkey\n")))

    assert b"ENCRYPTED" in path.read_bytes()
    assert (made.code, right.code, wrong.code) == (0, 0, 1)
    assert "horse" not in made.out + made.err + right.out + right.err


def test_a_private_key_given_as_a_public_one_is_refused(
    request_path: Path, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys, "verify", request_path, "--public-key", key_path)

    assert (run.code, "private key" in run.err) == (1, True)


def test_without_a_terminal_the_passphrase_is_not_asked_for_in_the_open(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(samples.MERCHANT_P256.to_pem(b"secret"))
    done = subprocess.run(
        [sys.executable, "-m", "signing", "sign", "--key", str(path), "--url", URL],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        input="secret\n",
        start_new_session=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "--passphrase-fd" in done.stderr


def test_prove_prints_a_proof_of_possession(key_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(Run(capsys, "prove", "--key", key_path, "--merchant-id", "m_1").out)
    registration = verify_possession(
        document["statement"].encode(),
        base64.b64decode(document["signature"]),
        VerifyingKey.from_jwk(document["jwk"]),
        merchant_id="m_1",
        now=int(time.time()),
    )

    assert registration.merchant_id == "m_1"


def test_a_passphrase_is_asked_for_twice_and_must_be_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["horse", "horse", "horse", "donkey", "", ""])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    same = Run(capsys, "keygen", "--out", tmp_path / "a.pem", "--encrypt")
    different = Run(capsys, "keygen", "--out", tmp_path / "b.pem", "--encrypt")
    empty = Run(capsys, "keygen", "--out", tmp_path / "c.pem", "--encrypt")

    assert (same.code, different.code, empty.code) == (0, 1, 1)
    assert SigningKey.from_pem((tmp_path / "a.pem").read_bytes(), b"horse").alg == "ed25519"
    assert not (tmp_path / "b.pem").exists()


def test_a_key_file_that_others_can_read_is_used_with_a_warning(
    key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_path.chmod(0o640)
    run = Run(capsys, "sign", "--key", key_path, "--method", "GET", "--url", URL)

    assert (run.code, "chmod 600" in run.err) == (0, True)


@pytest.mark.parametrize("form", ["pem", "jwk", "jwks"])
def test_public_keys_are_read_in_each_form(
    form: str, key_path: Path, request_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = SigningKey.from_pem(key_path.read_bytes()).verifying_key
    content = {
        "pem": public.to_spki_pem(),
        "jwk": json.dumps(public.to_jwk()).encode(),
        "jwks": keys_to_jwks([public]),
    }[form]
    path = tmp_path / "public"
    path.write_bytes(content)
    run = Run(capsys, "verify", request_path, "--public-key", path)
    path.write_bytes(content + b" " * 65_536)
    too_large = Run(capsys, "verify", request_path, "--public-key", path)
    path.write_bytes(samples.MALLORY.verifying_key.to_spki_pem())
    foreign = Run(capsys, "verify", request_path, "--public-key", path)

    assert (run.code, too_large.code, foreign.code) == (0, 1, 1)
    assert "key_unknown" in foreign.err


@pytest.mark.parametrize("alg", ["ed25519", "ecdsa-p256-sha256"])
def test_a_private_jwk_signs_like_its_pem(
    alg: str, tmp_path: Path, body_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = tmp_path / "key.pem"
    Run(capsys, "keygen", "--alg", alg, "--out", pem)
    key = SigningKey.from_pem(pem.read_bytes())
    jwk = tmp_path / "private.jwk"
    jwk.write_text("\n" + json.dumps(signing_key_to_jwk(key), indent=2) + "\n")
    run = Run(capsys, "sign", "--key", jwk, "--url", URL, "--body", body_path, "--json")
    request = tmp_path / "request.json"
    request.write_text(run.out)
    verified = Run(capsys, "verify", request, "--public-key", tmp_path / "key.jwk.json", "--json")

    assert (0, 0, key.key_id) == (run.code, verified.code, json.loads(verified.out)["key_id"])
    assert "chmod 600" in run.err
    assert (1, "private key") == (
        (as_public := Run(capsys, "verify", request, "--public-key", jwk)).code,
        next(word for word in ["private key"] if word in as_public.err),
    )


def test_results_and_refusals_are_json_for_machines(
    key_path: Path, request_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Run(capsys, "keygen", "--out", tmp_path / "other.pem", "--json")
    explained = Run(capsys, "explain", request_path, "--json")
    foreign = Run(capsys, "verify", request_path, "--public-key", tmp_path / "other.jwk.json", "--json")
    unreadable = Run(capsys, "explain", key_path, "--json")

    assert str(tmp_path / "other.jwk.json") == json.loads(made.out)["public_key"]
    assert json.loads(explained.out)["signature_base"].startswith('"@method": POST\n')
    assert (1, "key_unknown") == (foreign.code, json.loads(foreign.out)["error"]["code"])
    assert (2, "message_unreadable") == (unreadable.code, json.loads(unreadable.out)["error"]["code"])


def test_every_command_takes_json_and_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["keygen", "prove", "register", "sign", "verify", "explain", "webhook", "receipt"]
    for name in names:
        shown = " ".join(Run(capsys, name, "--help").out.split())

        assert "--json" in shown
        assert "0 fine, 1 refused, 2 wrong usage or unreadable file, 3 no believable answer" in shown
    assert all(f"    {name} " in Run(capsys, "--help").out for name in names)
