"""A backup opens with its passphrase, unaltered, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import backup_file
from pki.backup_file import BackupHead, open_backup, seal_backup
from pki.errors import BackupError, SealError
from pki.seal import ScryptCost

PASSPHRASE = b"a passphrase of the tests"
HEAD = BackupHead("countermark.internal", "2026-03-01T12:00:00+00:00", 8, "ab" * 32)
CHEAP = ScryptCost(n=2**14)
FILES = {
    "state.json": b"{}",
    "ledger.jsonl": b"",
    "ca/root-20260301-00112233/cert.pem": b"\x00certificate\n",
    "ca/root-20260301-00112233/key.sealed": b"sealed",
}


def sealed(files: dict[str, bytes]) -> bytes:
    return seal_backup(files, HEAD, PASSPHRASE, salt=b"s" * 32, nonce=b"n" * 12, cost=CHEAP)


BACKUP = sealed(FILES)
FIRST_LINE, _, SEALED = BACKUP.partition(b"\n")
FIELDS: dict[str, Any] = json.loads(FIRST_LINE)


def test_the_right_passphrase_opens_it() -> None:
    assert (FILES, HEAD) == open_backup(BACKUP, PASSPHRASE)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FILES)), st.binary(max_size=2000)))
def test_what_was_sealed_is_what_is_opened(files: dict[str, bytes]) -> None:
    assert FILES | files == open_backup(sealed(FILES | files), PASSPHRASE)[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(BACKUP) - 1), st.integers(1, 255))
def test_one_altered_byte_never_opens(position: int, change: int) -> None:
    altered = bytearray(BACKUP)
    altered[position] ^= change

    with pytest.raises(BackupError):
        open_backup(bytes(altered), PASSPHRASE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(BACKUP) - 1))
def test_a_cut_backup_never_opens_and_costs_no_scrypt(length: int) -> None:
    with pytest.raises(BackupError, match=r"is cut: \d+ of|not a backup of ours"):
        open_backup(BACKUP[:length], PASSPHRASE)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_backup(data: bytes) -> None:
    with pytest.raises(BackupError):
        open_backup(data, PASSPHRASE)


_VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*sorted(FIELDS), "other"]), _VALUES, min_size=1))
def test_a_first_line_with_any_field_replaced_is_refused(change: dict[str, Any]) -> None:
    # Spaces as they were: an unchanged field must give the same bytes.
    line = json.dumps(FIELDS | change).encode()
    if line == FIRST_LINE:
        return
    with pytest.raises(BackupError):
        open_backup(line + b"\n" + SEALED, PASSPHRASE)


def test_scrypt_beyond_the_limits_is_refused_before_it_is_run() -> None:
    for change in ({"n": 2**30}, {"r": 2**20}, {"p": 2**20}, {"n": 3}):
        with pytest.raises(BackupError, match="first line of the backup was altered"):
            open_backup(json.dumps(FIELDS | change).encode() + b"\n" + SEALED, PASSPHRASE)


def sealed_by_whoever_knows_the_passphrase(plaintext: bytes) -> bytes:
    key = Scrypt(salt=b"s" * 32, length=32, n=CHEAP.n, r=CHEAP.r, p=CHEAP.p).derive(PASSPHRASE)
    line = json.dumps(FIELDS | {"sealed_bytes": len(plaintext) + 16}).encode() + b"\n"
    return line + AESGCM(key).encrypt(b"n" * 12, plaintext, line)


@pytest.mark.parametrize(
    "index",
    [
        [],
        [["state.json", 2]],
        [["state.json", 2], ["ledger.jsonl", 1]],
        [["state.json", 2], ["ledger.jsonl", -1]],
        [["state.json", 2], ["ledger.jsonl", 0], ["state.json", 0]],
        [["state.json", 2], ["ledger.jsonl", 0], ["../authorized_keys", 0]],
        [["state.json", 2], ["ledger.jsonl", 0], ["ca/root-20260301-00112233/../x", 0]],
        [["state.json", 2], ["ledger.jsonl", 0], ["live/gateway/gen-0001/key.pem", 0]],
        [["state.json", 2], ["ledger.jsonl"]],
        [["state.json", None], ["ledger.jsonl", 0]],
        [["state.json", float("inf")], ["ledger.jsonl", 0]],
        [["state.json", 2], [["ledger.jsonl"], 0]],
        {"state.json": 2},
        7,
    ],
    ids=str,
)
def test_an_index_that_none_of_ours_has_is_refused_even_if_sealed_well(index: object) -> None:
    with pytest.raises(BackupError, match="not made by us"):
        open_backup(sealed_by_whoever_knows_the_passphrase(json.dumps(index).encode() + b"\n{}"), PASSPHRASE)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=100))
def test_whatever_is_sealed_well_opens_or_is_refused(plaintext: bytes) -> None:
    with pytest.raises(BackupError, match="not made by us"):
        open_backup(sealed_by_whoever_knows_the_passphrase(plaintext), PASSPHRASE)


@pytest.mark.parametrize(
    "name", ["live/gateway/gen-0001/key.pem", "../x", "/etc/passwd", "ca/x/cert.pem", ""]
)
def test_nothing_but_an_authoritys_files_is_backed_up(name: str) -> None:
    with pytest.raises(BackupError, match="does not belong in a backup"):
        sealed(FILES | {name: b""})


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_file, "FILES_BYTES_MAX", 100)
    with pytest.raises(BackupError, match="more than the 100 bytes that a backup holds: archive"):
        sealed(FILES | {"ledger.jsonl": b"x" * 101})


@pytest.mark.parametrize("passphrase", [b"", b"elevenbytes", b"x" * 1025])
def test_a_passphrase_of_a_bad_length_seals_and_opens_nothing(passphrase: bytes) -> None:
    with pytest.raises(SealError, match="12 to 1024"):
        seal_backup(FILES, HEAD, passphrase, salt=b"s" * 32, nonce=b"n" * 12, cost=CHEAP)
    with pytest.raises(SealError, match="12 to 1024"):
        open_backup(BACKUP, passphrase)
