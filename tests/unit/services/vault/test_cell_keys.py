from __future__ import annotations

from binascii import b2a_base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vault.cell_keys import FileCellKeys, parse_keys, with_new_key, without_key
from services.vault.errors import KeyMissing, KeysRefused, SealBroken


def line(version: int, key: bytes) -> bytes:
    return str(version).encode() + b" " + b2a_base64(key)


ONE, TWO = line(1, b"1" * 32), line(2, b"2" * 32)


def test_versions_are_added_and_the_newest_is_the_highest() -> None:
    content = with_new_key(with_new_key(b""))

    keys = parse_keys(content)
    assert [1, 2] == sorted(keys)
    assert {32} == {len(key) for key in keys.values()}
    assert keys[1] != keys[2]


def test_an_older_version_goes_and_the_newest_stays() -> None:
    assert TWO == without_key(ONE + TWO, 1)
    for version in (2, 3):
        with pytest.raises(KeysRefused, match="not an older one"):
            without_key(ONE + TWO, version)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", ONE[:-1], TWO + ONE, ONE + ONE, ONE + line(2, b"1" * 32), line(0, b"1" * 32), ONE + b"#\n",
     line(2**31, b"1" * 32), line(1, b"1" * 31), b"01" + ONE[1:], ONE.replace(b"\n", b"\r\n"), b"\xff" + ONE,
     ONE * 2000, ONE[:-3] + b"F=\n"],
    ids=["empty", "blank", "cut", "falling", "twice", "one-key", "nought", "remark", "large", "short",
         "zero-led", "crlf", "bytes", "long", "spare-bits"],
)  # fmt: skip
def test_another_file_is_refused_without_a_word_of_it(content: bytes) -> None:
    with pytest.raises(KeysRefused) as refused:
        parse_keys(content)

    assert "MTEx" not in str(refused.value)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(content: bytes) -> None:
    with pytest.raises(KeysRefused):
        parse_keys(content)


async def test_a_new_version_is_taken_without_a_restart_and_the_old_one_still_opens(tmp_path: Path) -> None:
    file = tmp_path / "cell.keys"
    file.write_bytes(ONE)
    keys = FileCellKeys(file)
    wrapped = await keys.wrap(1, b"w" * 32, b"place")

    file.write_bytes(ONE + TWO)

    assert 2 == await keys.newest()
    assert b"w" * 32 == await keys.unwrap(1, wrapped, b"place")
    for version, place, fault in (
        (2, b"place", SealBroken),
        (1, b"other", SealBroken),
        (3, b"place", KeyMissing),
    ):
        with pytest.raises(fault):
            await keys.unwrap(version, wrapped, place)


async def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeysRefused, match="cannot be read"):
        await FileCellKeys(tmp_path / "cell.keys").newest()
