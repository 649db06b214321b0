"""Roots made and opened by people: with descriptors, with files of shares, and at a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import click
import pytest

from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.pkcs11_keeper import Pkcs11Keeper
from pki.errors import SealError
from pki.seal import ScryptCost
from pki.secret_input import RootOptions, retiring_root_keeper
from tests.integration.pki.softhsm import MODULE, PIN, soft_hsm

ROOT = Path(__file__).parents[3]
PASSPHRASE = b"a passphrase of the tests\n"
WAIT_S_MAX = 30
_CLEARED = "\x1b[2J\x1b[3J\x1b[H"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.integration.pki.root_ceremony", *map(str, arguments)]


def ceremony(
    *arguments: str | Path, secrets: Sequence[tuple[str, bytes]] = ()
) -> subprocess.CompletedProcess[str]:
    """Run it without any terminal; each secret goes through a descriptor of its own."""
    line, readers = command(*arguments), []
    for option, secret in secrets:
        reader, writer = os.pipe()
        os.write(writer, secret)
        os.close(writer)
        readers.append(reader)
        line += [option, str(reader)]
    try:
        return subprocess.run(
            line, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            pass_fds=readers, timeout=WAIT_S_MAX, start_new_session=True,
        )  # fmt: skip
    finally:
        for reader in readers:
            os.close(reader)


class Person:
    """Whoever sits at the terminal of a command; the command's output goes elsewhere, to a file."""

    def __init__(self, output: Path, *arguments: str | Path) -> None:
        self._ours, theirs = pty.openpty()
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command(*arguments), cwd=ROOT, stdin=theirs, stdout=file, stderr=file, start_new_session=True
            )
        os.close(theirs)
        self.seen = ""
        self._read = 0

    def read_until(self, wanted: str) -> str:
        """Read on until this was shown; return all that came since the last time, to its end."""
        give_up = time.monotonic() + WAIT_S_MAX
        while (end := self.seen.find(wanted, self._read)) < 0:
            assert select.select([self._ours], [], [], give_up - time.monotonic())[0], self.seen
            self.seen += os.read(self._ours, 4096).decode()
        since, self._read = self.seen[self._read : end], end + len(wanted)
        return since + wanted

    def type(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            os.close(self._ours)

    def done(self) -> int:
        """Read what is left and return the exit code."""
        try:
            while data := os.read(self._ours, 4096):
                self.seen += data.decode()
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(self._ours)
        return self._process.wait(WAIT_S_MAX)


def shares_in(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.iterdir())]


def test_shares_in_files_open_the_root_they_were_dealt_for(tmp_path: Path) -> None:
    envelope, folder = tmp_path / "root", tmp_path / "shares"
    made = ceremony("make", envelope, "--root-shares", "2-of-3", "--shares-dir", folder)
    first, second, third = shares_in(folder)
    opened = ceremony("open", envelope, secrets=[("--share-fd", third), ("--share-fd", first)])
    alone = ceremony("open", envelope, secrets=[("--share-fd", second)])
    twice = ceremony("open", envelope, secrets=[("--share-fd", second), ("--share-fd", second)])

    assert (0, 0) == (made.returncode, opened.returncode), made.stderr + opened.stderr
    assert made.stdout == opened.stdout
    assert ["share-1-of-3.txt", "share-2-of-3.txt", "share-3-of-3.txt"] == sorted(
        file.name for file in folder.iterdir()
    )
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert first.startswith(
        b"# Share 1 of 3 of a Countermark root key, made 2026-03-01.\n# Any 2 of them open"
    )
    assert "SealError: 1 of the 2 shares needed were given" in alone.stderr
    assert "SealError: shares 1 and 2 are the same one" in twice.stderr
    printed = "".join(run.stdout + run.stderr for run in (made, opened, alone, twice))
    words = first.split(b"\n")[2].decode().split()
    assert not re.search(rf"\b{words[4]} {words[5]}\b", printed)


def test_shares_never_replace_others_and_no_root_is_made_without_them(tmp_path: Path) -> None:
    envelope, folder = tmp_path / "root", tmp_path / "shares"
    folder.mkdir()
    (folder / "share-2-of-3.txt").write_text("of an earlier ceremony")
    made = ceremony("make", envelope, "--root-shares", "2-of-3", "--shares-dir", folder)
    onto_a_file = ceremony(
        "make", envelope, "--root-shares", "2-of-3", "--shares-dir", folder / "share-2-of-3.txt"
    )

    assert (1, 2) == (made.returncode, onto_a_file.returncode)
    assert "share-2-of-3.txt: File exists; no share was written, no root was made" in made.stderr
    assert ["share-2-of-3.txt"] == [file.name for file in folder.iterdir()]
    assert not envelope.exists()


def test_custodians_read_their_shares_one_by_one_and_type_them_again(tmp_path: Path) -> None:
    envelope, output = tmp_path / "root", tmp_path / "output"
    with Person(output, "make", envelope, "--root-shares", "2-of-3") as person:
        shares = []
        for number in (1, 2, 3):
            before = person.read_until("Press Enter to see it.")
            assert f"Share {number} of 3" in before
            assert not re.search(r"\d [a-z]{4,8} +\d", before), "no word is on the screen before Enter"
            person.type("")
            shown = person.read_until("Press Enter to clear the screen.").partition("open the root")[2]
            shares.append(" ".join(re.findall(r"\b\d{1,2} ([a-z]{4,8})\b", shown)))
            person.type("")
        assert 0 == person.done()
    made = output.read_text()
    assert [33] * 3 == [len(words.split()) for words in shares]
    assert 4 == person.seen.count(_CLEARED)
    assert person.seen.rstrip().endswith(_CLEARED)

    with Person(output, "open", envelope) as person:
        asked = "are enough)."
        assert "Share 1 of the 2 that are needed" in person.read_until(asked)
        words = shares[2].split()
        person.type(" ".join([*words[:20], "xyzzy", *words[21:]]))
        assert "share 1: word 21 is not on the list of words" in person.read_until(asked)
        person.type(shares[2].upper())
        assert "Share 2 of the 2 that are needed" in person.read_until(asked)
        person.type(shares[2])
        assert "shares 1 and 2 are the same one" in person.read_until(asked)
        person.type(" ".join(word[:4] for word in shares[0].split()))
        assert 0 == person.done(), output.read_text()

    assert made == output.read_text()
    assert person.seen.rstrip().endswith(_CLEARED)


def test_a_ceremony_that_is_broken_off_makes_no_root_and_leaves_no_words(tmp_path: Path) -> None:
    envelope, output = tmp_path / "root", tmp_path / "output"
    with Person(output, "make", envelope, "--root-shares", "2-of-3") as person:
        person.read_until("Press Enter to see it.")
        person.type("")
        person.read_until("Press Enter to clear the screen.")
        person.type("\x03")

        assert 0 != person.done()
    assert not envelope.exists()
    assert person.seen.rstrip().endswith(_CLEARED)


def test_a_root_in_a_token_takes_its_pin_from_a_descriptor(tmp_path: Path) -> None:
    soft_hsm()
    envelope, pin = tmp_path / "root", ("--pin-fd", PIN.encode() + b"\n")
    made = ceremony("make", envelope, "--root-token", "ceremony", "--pkcs11-module", MODULE, secrets=[pin])
    opened = ceremony("open", envelope, "--pkcs11-module", MODULE, secrets=[pin])
    no_module = ceremony("open", envelope, secrets=[pin])
    wrong = ceremony("open", envelope, "--pkcs11-module", MODULE, secrets=[("--pin-fd", b"9999")])

    assert (0, 0) == (made.returncode, opened.returncode), made.stderr + opened.stderr
    assert made.stdout == opened.stdout
    assert "give --pkcs11-module" in no_module.stderr
    assert "the PIN is wrong" in wrong.stderr


def test_a_root_under_a_passphrase_of_its_own(tmp_path: Path) -> None:
    envelope, passphrase = tmp_path / "root", ("--root-passphrase-fd", PASSPHRASE)
    made = ceremony("make", envelope, secrets=[passphrase])
    opened = ceremony("open", envelope, secrets=[passphrase])
    with_shares = ceremony("open", envelope, secrets=[("--share-fd", b"words")])

    assert (0, 0) == (made.returncode, opened.returncode)
    assert made.stdout == opened.stdout
    assert "does not open with shares but with its passphrase" in with_shares.stderr


def test_a_root_that_leaves_its_token_is_destroyed_there() -> None:
    soft_hsm()
    keeper = Pkcs11Keeper(MODULE, "leaving", PIN)
    envelope = keeper.make("root", datetime.now(UTC))[1]
    reader, writer = os.pipe()
    os.write(writer, PIN.encode())
    os.close(writer)
    retiring = retiring_root_keeper(envelope, RootOptions(pin_fd=reader, pkcs11_module=Path(MODULE)))
    os.close(reader)
    assert retiring is not None
    retiring.destroy(envelope)

    with pytest.raises(SealError, match="does not hold this key"):
        keeper.open(envelope)
    in_a_file = PassphraseKeeper(PASSPHRASE, ScryptCost(n=2**14)).make("root", datetime.now(UTC))[1]
    assert retiring_root_keeper(in_a_file, RootOptions()) is None
    with pytest.raises(click.UsageError, match="give --pkcs11-module"):
        retiring_root_keeper(envelope, RootOptions())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--root-shares", "2-of-3"], "there is nobody at a terminal: give --shares-dir"),
        (["--root-shares", "two"], "say it like 2-of-3"),
        (["--root-shares", "1-of-3"], "1 of 3 shares is not possible"),
        (["--root-shares", "3-of-2"], "3 of 2 shares is not possible"),
        (["--root-shares", "2-of-3", "--root-token", "t"], "and not both"),
        (["--shares-dir", "/tmp"], "say how many with --root-shares"),
        (["--root-token", "t"], "give --pkcs11-module"),
        (["--root-token", "t", "--pkcs11-module", "/nowhere.so"], "does not exist"),
        (["--root-token", "t", "--pkcs11-module", MODULE], "nobody to ask for the PIN: give --pin-fd"),
        ([], "there is nobody to ask for the passphrase"),
        (["--root-passphrase-fd", "99"], "file descriptor 99 cannot be read"),
    ],
    ids=["nobody there", "no number", "one alone", "more than all", "both", "no number of shares",
         "no module", "module missing", "no pin", "no passphrase", "closed descriptor"],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_before_anything(
    tmp_path: Path, arguments: list[str], reason: str
) -> None:
    refused = ceremony("make", tmp_path / "root", *arguments)

    assert (2, True) == (refused.returncode, reason in " ".join(refused.stderr.split())), refused.stderr
    assert not (tmp_path / "root").exists()
