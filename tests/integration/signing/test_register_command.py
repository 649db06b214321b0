"""`register`, in this process and as people start it, against a gateway's stand-in over real TLS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signing import (
    SigningKey,
    VerifyingKey,
    keys_to_jwks,
    parse_request,
    registration_statement,
    signing_key_to_jwk,
    verify_possession,
    verify_request,
)
from tests.integration.signing.wire_answers import cut, refuse, refuse_unsigned
from tests.integration.signing.wire_server import (
    WireServer,
    http,
    parse_raw,
    running_wire_server,
    signed_answer,
)
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.command_run import Run

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "cmet_eu_0123." + "s" * 43
REGISTERED = b'{"key_id":"k","object":"key","merchant_id":"m_1","alg":"ed25519","status":"active"}'


def answer_all(raw: bytes) -> bytes:
    if raw.startswith(b"GET /.well-known/countermark-keys "):
        return http(200, (), keys_to_jwks([samples.GATEWAY.verifying_key]))
    return signed_answer(raw, samples.GATEWAY, 201, REGISTERED)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with running_wire_server(tmp_path_factory.mktemp("register"), answer_all) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: WireServer) -> None:
    server.received.clear()
    server.script.clear()


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "new.pem"
    path.write_bytes(samples.MERCHANT_ED25519.to_pem())
    path.chmod(0o600)
    return path


def descriptor(content: bytes) -> int:
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    return read_end


OWNER = ("--merchant-id", "m_1")


def reach(server: WireServer) -> tuple[str | Path, ...]:
    return ("--url", server.origin, "--cafile", server.cafile, "--gateway-key-id", samples.GATEWAY.key_id)


def test_a_first_key_is_registered_with_a_token_from_a_descriptor(
    server: WireServer, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token_fd = descriptor(f"{TOKEN}\n".encode())
    run = Run(
        capsys, "register", "--key", key_path, *reach(server), "--token-fd", str(token_fd), *OWNER, "--json"
    )
    request = server.requests()[-1]
    signed = parse_request(request, origins=frozenset({server.origin}))
    verify_request(signed, samples.MERCHANT_ED25519.verifying_key, now=int(time.time()))

    assert (0, "m_1", samples.GATEWAY.key_id) == (
        run.code, json.loads(run.out)["merchant_id"], json.loads(run.out)["receipt_key_id"],
    )  # fmt: skip
    body = json.loads(request.body or b"")
    key = samples.MERCHANT_ED25519.verifying_key
    statement = registration_statement("m_1", key.key_id, key.alg, body["issued_at"])
    verify_possession(
        statement, base64.b64decode(body["proof"]), key, merchant_id="m_1", now=int(time.time())
    )
    assert (key.to_jwk(), TOKEN) == (body["public_key"], body["enrolment_token"])
    assert TOKEN not in run.out + run.err


def test_a_later_key_needs_no_token_but_its_own_proof(
    server: WireServer, key_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.jwk"
    old.write_text(json.dumps(signing_key_to_jwk(samples.MERCHANT_P256)))
    old.chmod(0o600)
    pinned = tmp_path / "gateway.json"
    pinned.write_bytes(keys_to_jwks([samples.GATEWAY.verifying_key]))
    run = Run(
        capsys, "register", "--key", key_path, "--with-key", old, "--merchant-id", "m_1",
        "--url", server.origin, "--cafile", server.cafile, "--gateway-keys", pinned,
    )  # fmt: skip
    (request,) = server.requests()
    verify_request(
        parse_request(request, origins=frozenset({server.origin})),
        samples.MERCHANT_P256.verifying_key,
        now=int(time.time()),
    )
    body = json.loads(request.body or b"")
    key = VerifyingKey.from_jwk(body["public_key"])
    statement = registration_statement("m_1", key.key_id, key.alg, body["issued_at"])
    proven = verify_possession(
        statement, base64.b64decode(body["proof"]), key, merchant_id="m_1", now=int(time.time())
    )

    assert (0, samples.MERCHANT_ED25519.key_id) == (run.code, proven.key_id)
    assert "merchant-id: m_1" in run.out


def test_a_refusal_and_an_unknown_outcome_have_their_own_exit_codes(
    server: WireServer, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("register", "--key", key_path, *reach(server), *OWNER, "--json", "--token-fd")
    server.script += [answer_all, refuse(403, "not_permitted", detail="the enrolment token is not good")]
    refused = Run(capsys, *arguments, str(descriptor(TOKEN.encode())))
    server.script += [answer_all, lambda _: http(201, (), REGISTERED)]
    doubtful = Run(capsys, *arguments, str(descriptor(TOKEN.encode())))
    error = json.loads(doubtful.out)["error"]

    assert (1, "not_permitted") == (refused.code, json.loads(refused.out)["error"]["problem_code"])
    assert (3, "answer_not_trusted") == (doubtful.code, error["code"])
    assert error["idempotency_key"] in doubtful.err


def test_a_401_is_explained(server: WireServer, key_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(raw: bytes) -> bytes:
        base = parse_request(parse_raw(raw), origins=frozenset({server.origin})).signature_base
        text = base64.b64encode(base.replace(b"POST", b"PUT")).decode()
        refusal: bytes = refuse_unsigned(401, "signature_invalid", signature_base=text)(raw)
        return refusal

    server.script += [answer_all, answer]
    run = Run(
        capsys,
        "register",
        "--key",
        key_path,
        *reach(server),
        *OWNER,
        "--token-fd",
        str(descriptor(TOKEN.encode())),
    )

    assert 1 == run.code
    assert 'first difference at byte 12, line 1, in "@method"' in run.err


@pytest.mark.parametrize(
    "arguments",
    [("--with-key", "x.pem"), (), (*OWNER, "--token", TOKEN), (*OWNER, "--connect", "here"),
     ("--with-key", "x.pem", "--merchant-id", "m_1", "--token-fd", "0")],
    ids=str,
)  # fmt: skip
def test_wrong_usage_sends_nothing(
    server: WireServer, key_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys, "register", "--key", key_path, *reach(server), *arguments)

    assert (2, "", []) == (run.code, run.out, server.received)


def test_without_a_terminal_the_token_is_not_read_from_stdin(server: WireServer, key_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "signing",
            "register",
            "--key",
            str(key_path),
            *map(str, (*reach(server), *OWNER)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        input=f"{TOKEN}\n",
        start_new_session=True,
        check=False,
    )

    assert (1, "", []) == (done.returncode, done.stdout, server.received)
    assert "--token-fd" in done.stderr


def test_a_lost_answer_is_asked_for_again(
    server: WireServer, key_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [answer_all, cut]
    run = Run(
        capsys,
        "register",
        "--key",
        key_path,
        *reach(server),
        *OWNER,
        "--token-fd",
        str(descriptor(TOKEN.encode())),
    )
    posts = [request for request in server.requests() if request.method == "POST"]

    assert (0, 2) == (run.code, len(posts))
    assert 1 == len({samples.header(request, "idempotency-key") for request in posts})


def test_the_key_and_the_token_are_never_shown(
    server: WireServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jwk = signing_key_to_jwk(SigningKey.generate("ed25519"))
    path = tmp_path / "broken.jwk"
    path.write_text(json.dumps(jwk | {"x": "A" * 43}))
    run = Run(
        capsys,
        "register",
        "--key",
        path,
        *reach(server),
        *OWNER,
        "--token-fd",
        str(descriptor(TOKEN.encode())),
    )

    assert (1, "") == (run.code, run.out)
    assert jwk["d"] not in run.err


def test_a_later_key_whose_outcome_is_unknown_is_repeated_with_the_same_bytes(
    server: WireServer, key_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.pem"
    old.write_bytes(samples.MERCHANT_P256.to_pem())
    old.chmod(0o600)
    arguments = (
        "register", "--key", key_path, "--with-key", old, "--merchant-id", "m_1", *reach(server),
    )  # fmt: skip
    server.script += [answer_all, lambda _: http(201, (), REGISTERED)]
    unknown = Run(capsys, *arguments)
    repeat = unknown.err[unknown.err.index("--idempotency-key") :].split()
    again = Run(capsys, *arguments, *repeat)
    first, second = [request for request in server.requests() if request.method == "POST"]

    assert (3, 0) == (unknown.code, again.code)
    assert (first.body, samples.header(first, "idempotency-key")) == (
        second.body, samples.header(second, "idempotency-key"),
    )  # fmt: skip
