"""What the command says when it is handed something that no file, stream or descriptor should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from signing import commands, register_command
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.command_run import URL, Run, body_path, key_path, request_path

__all__ = ["body_path", "key_path", "request_path"]  # fixtures, found by name in this module
ROOT = Path(__file__).resolve().parents[3]
# As merchants run it: output is written when the buffer is full or the process ends.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def _descriptor(content: bytes) -> int:
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    return read_end


def _shell(key: Path, line: str) -> subprocess.CompletedProcess[str]:
    script = f'cm() {{ "{sys.executable}" -m signing "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script, "bash", str(key)],
        cwd=ROOT, env=BUFFERED, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("out", [".", "/"])
def test_keygen_refuses_a_folder_as_its_file(capsys: pytest.CaptureFixture[str], out: str) -> None:
    run = Run(capsys, "keygen", "--out", out)

    assert (2, f"cannot use {out}: is a directory: name a new file in it\n") == (run.code, run.err)


def test_the_longest_passphrase_works_and_a_longer_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [
        Run(
            capsys, "keygen", "--encrypt", "--out", tmp_path / f"{size}.pem",
            "--passphrase-fd", str(_descriptor(b"a" * size)),
        ).code
        for size in (1023, 1024)
    ]  # fmt: skip

    assert [0, 1] == codes


@pytest.mark.parametrize("number", ["2147483648", "9" * 20, "9" * 5000])
def test_a_number_that_is_no_descriptor_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], key_path: Path, number: str
) -> None:
    run = Run(capsys, "prove", "--key", key_path, "--merchant-id", "m", "--passphrase-fd", number)

    assert 2 == run.code
    assert "a file descriptor is a number such as 3" in run.err


def test_a_descriptor_that_is_not_open_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "keygen", "--out", tmp_path / "k.pem", "--passphrase-fd", "987")

    assert (2, "cannot use --passphrase-fd 987: Bad file descriptor\n") == (run.code, run.err)


def test_with_json_a_file_that_cannot_be_read_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, "prove", "--key", "/nowhere.pem", "--merchant-id", "m", "--json")

    assert 2 == run.code
    assert {
        "error": {
            "code": "file_unusable",
            "message": "cannot use /nowhere.pem: No such file or directory",
        }
    } == json.loads(run.out)


def test_a_cafile_that_holds_no_certificate_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key_path: Path
) -> None:
    token = str(_descriptor(b"token\n"))
    run = Run(
        capsys, "register", "--key", key_path, "--merchant-id", "m", "--url", samples.ORIGIN,
        "--token-fd", token, "--cafile", key_path,
    )  # fmt: skip

    assert 2 == run.code
    assert run.err.endswith(f"\ncannot use {key_path}: it holds no certificate in PEM\n")


def test_an_interrupted_command_shows_no_traceback(
    capsys: pytest.CaptureFixture[str], key_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "load_signing_key", interrupt)
    run = Run(capsys, "sign", "--key", key_path, "--url", URL, "--method", "GET")

    assert 130 == run.code
    assert run.err.endswith("\ninterrupted\n")
    assert "Traceback" not in run.err


def test_an_interrupted_registration_says_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], key_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(register_command, "connect", interrupt)
    run = Run(
        capsys, "register", "--key", key_path, "--merchant-id", "m", "--url", samples.ORIGIN,
        "--token-fd", str(_descriptor(b"token\n")), "--idempotency-key", "k" * 16, "--issued-at", "5",
    )  # fmt: skip

    assert 130 == run.code
    assert f"to repeat it: --idempotency-key={'k' * 16} --issued-at 5\n" in run.err


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('cm sign --key "$1" --url https://x/v1/p --body - <&-', 2, "standard input is closed"),
        ('cm prove --key "$1" --merchant-id m >&-', 2, "standard output is closed"),
        ('cm prove --key "$1" --merchant-id m >/dev/full', 2, "No space left on device"),
        ('cm prove --key "$1" --merchant-id m | true; exit "${PIPESTATUS[0]}"', None, ""),
    ],
)
def test_streams_that_cannot_be_used_are_told_in_words(
    key_path: Path, line: str, code: int | None, said: str
) -> None:
    done = _shell(key_path, line)

    assert code is None or code == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("idempotency_key", ["-" + "k" * 15, "-" + "k" * 63, "--" + "k" * 30])
def test_an_idempotency_key_may_begin_with_a_hyphen(
    capsys: pytest.CaptureFixture[str], key_path: Path, idempotency_key: str
) -> None:
    run = Run(capsys, "sign", "--key", key_path, "--url", URL, "--idempotency-key", idempotency_key)

    assert 0 == run.code
    assert f'Idempotency-Key: "{idempotency_key}"\n' in run.out


def test_an_option_without_its_value_does_not_take_the_next_option(
    capsys: pytest.CaptureFixture[str], key_path: Path
) -> None:
    run = Run(
        capsys, "register", "--key", key_path, "--url", samples.ORIGIN, "--merchant-id", "m",
        "--idempotency-key", "--with-passphrase-fd", "3",
    )  # fmt: skip

    assert 2 == run.code
    assert "--idempotency-key: expected one argument" in run.err
