"""The command, run in this process; one test starts it as people do."""

from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.api.problems import describe
from signing import (
    RequestSignatureInvalid,
    Response,
    SigningKey,
    keys_to_jwks,
    sign_receipt,
    sign_webhook,
    webhook_public_key,
)
from signing.message_file import request_from_file
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.command_run import URL, Run, body_path, key_path, request_path

__all__ = ["body_path", "key_path", "request_path"]  # fixtures, found by name in this module


def test_what_sign_prints_verifies(
    request_path: Path, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = key_path.with_suffix(".jwk.json")
    run = Run(capsys, "verify", request_path, "--public-key", public, "--origin", samples.ORIGIN)

    assert run.code == 0
    assert SigningKey.from_pem(key_path.read_bytes()).key_id == json.loads(run.out)["key_id"]
    assert "verified" in run.err


def test_header_lines_make_an_http_text_that_verifies(
    tmp_path: Path, key_path: Path, body_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(
        capsys, "sign", "--key", key_path, "--url", URL, "--body", body_path,
        "--idempotency-key", samples.IDEMPOTENCY_KEY,
    )  # fmt: skip
    path = tmp_path / "request.http"
    head = f"POST /v1/payments HTTP/1.1\n{run.out}".replace("\n", "\r\n").encode()
    path.write_bytes(head + b"\r\n" + samples.BODY)
    public = key_path.with_suffix(".jwk.json")
    verified = Run(capsys, "verify", path, "--public-key", public, "--origin", samples.ORIGIN)
    without_origin = Run(capsys, "verify", path, "--public-key", public)

    assert (verified.code, without_origin.code) == (0, 2)
    assert json.loads(verified.out)["idempotency_key"] == samples.IDEMPOTENCY_KEY


def test_the_curl_command_sends_the_signed_headers_and_the_very_body(
    key_path: Path, body_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(capsys, "sign", "--key", key_path, "--url", URL, "--body", body_path, "--curl")
    words = shlex.split(run.out)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.BODY)))
    piped = shlex.split(Run(capsys, "sign", "--key", key_path, "--url", URL, "--body", "-", "--curl").out)

    assert ("curl", URL, f"@{body_path}") == (words[0], words[-1], words[words.index("--data-binary") + 1])
    assert samples.BODY.decode() == piped[piped.index("--data-raw") + 1]
    assert {"Signature-Input", "Content-Digest"} <= {word.partition(":")[0] for word in words}


def test_a_changed_request_is_refused_with_its_reason(
    request_path: Path, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(request_path.read_bytes())
    document["body_base64"] = base64.b64encode(b"{}").decode()
    request_path.write_text(json.dumps(document))
    public = key_path.with_suffix(".jwk.json")
    run = Run(capsys, "verify", request_path, "--public-key", public)
    late = Run(capsys, "verify", request_path, "--public-key", public, "--at", str(int(time.time()) + 999))

    assert (run.code, late.code) == (1, 1)
    assert "digest_mismatch" in run.err
    assert "signature_expired" in late.err
    assert run.out == ""


@pytest.mark.parametrize("form", ["bare", "problem", "response"])
def test_explain_shows_where_the_gateway_saw_something_else(
    form: str, request_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Run(capsys, "explain", request_path)
    theirs = ours.out.replace("/v1/payments", "/v1/refunds")
    refusal = RequestSignatureInvalid("…", signature_base=theirs.removesuffix("\n").encode())
    problem = describe(refusal, request_id="req_eu_1").body.decode()
    content = {
        "bare": theirs,
        "problem": problem,
        "response": f"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\n\r\n{problem}",
    }[form]
    path = tmp_path / "server.txt"
    path.write_bytes(content.encode())
    differs = Run(capsys, "explain", request_path, "--server-base", path)
    path.write_text(ours.out)
    same = Run(capsys, "explain", request_path, "--server-base", path)

    assert (ours.code, differs.code, same.code) == (0, 1, 0)
    assert '"@target-uri"' in differs.err
    assert "equal" in same.err
    assert ours.out == differs.out


def test_a_receipt_is_verified_from_what_curl_prints(
    request_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = request_from_file(request_path.read_bytes(), None)
    response = Response(202, (("Content-Type", "application/json"),), samples.ANSWER)
    response = response.with_headers(
        sign_receipt(samples.parsed(request), response, samples.GATEWAY, now=int(time.time()))
    )
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in response.headers)
    path = tmp_path / "answer.http"
    path.write_bytes(f"HTTP/1.1 100 Continue\r\n\r\nHTTP/2 202 \r\n{lines}\r\n".encode() + samples.ANSWER)
    keys = tmp_path / "gateway-keys.json"
    keys.write_bytes(keys_to_jwks([samples.GATEWAY.verifying_key, samples.GATEWAY_P256.verifying_key]))
    arguments = ("receipt", "verify", "--request", request_path, "--response", path, "--public-key", keys)
    run = Run(capsys, *arguments)
    path.write_bytes(path.read_bytes() + b"\n")
    changed = Run(capsys, *arguments)

    assert (run.code, json.loads(run.out)["status"]) == (0, 202)
    assert (changed.code, "receipt_digest_mismatch" in changed.err) == (1, True)


def test_a_webhook_is_verified_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headers = sign_webhook("msg_1", int(time.time()), samples.BODY, samples.GATEWAY)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    path = tmp_path / "webhook.http"
    path.write_bytes(f"POST /hooks HTTP/1.1\r\n{lines}\r\n".encode() + samples.BODY)
    keys = tmp_path / "keys.txt"
    keys.write_text(webhook_public_key(samples.GATEWAY.verifying_key) + "\n")
    run = Run(capsys, "webhook", "verify", path, "--public-key", keys)
    keys.write_text(webhook_public_key(samples.MALLORY.verifying_key) + "\n")
    foreign = Run(capsys, "webhook", "verify", path, "--public-key", keys)

    assert (run.code, json.loads(run.out)["message_id"], foreign.code) == (0, "msg_1", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sign"],
        ["keygen", "--alg", "rsa", "--out", "x"],
        ["sign", "--key", "/nonexistent", "--url", URL],
        ["sign", "--key", "/nonexistent", "--url", URL, "--method", "GET", "--body", "x"],
        ["sign", "--key", "/nonexistent", "--url", URL, "--passphrase-fd", "-1"],
        ["sign", "--key", "/nonexistent", "--url", URL, "--passphrase", "secret"],
        ["explain", "/nonexistent"],
        ["explain", "/dev/null"],
    ],
    ids=str,
)
def test_wrong_usage_exits_with_2_and_prints_no_data(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys, *arguments)

    assert (run.code, run.out) == (2, "")
    assert run.err


def test_the_command_starts_under_the_name_of_its_package() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "signing", "--help"], cwd=root, capture_output=True, text=True, check=True
    )

    assert "usage: python -m signing" in done.stdout
    assert "exit codes: 0 fine, 1 refused, 2" in done.stdout


def test_importing_the_library_does_not_load_the_command() -> None:
    root = Path(__file__).parents[3]
    code = "import sys, signing; print([name for name in ('argparse', 'getpass') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "problem", [b"{}", b'{"signature_base":1}', b'{"signature_base":""@method": GET"}', b"{", b"[]", b""]
)
def test_a_problem_without_a_base_cannot_be_compared(
    problem: bytes, request_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "problem.json"
    path.write_bytes(problem)
    run = Run(capsys, "explain", request_path, "--server-base", path)

    assert run.code == (2 if problem[:1] == b"{" else 1)


def test_a_body_that_is_no_text_needs_a_file_for_curl(
    key_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"\xff", b'"\x00"'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        run = Run(capsys, "sign", "--key", key_path, "--url", URL, "--body", "-", "--curl")

        assert (run.code, run.out) == (2, "")
