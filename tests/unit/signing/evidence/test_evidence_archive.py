from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib

import pytest

from signing.evidence import folder_of, pack, unpack
from signing.evidence.archive import ARCHIVE_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, TAR_BYTES_MAX
from signing.evidence.errors import ArchiveMalformed

FILES = {"README": b"text\n", "payment/request.sig": bytes(64), "keys/log.pem": b"", "x": b"y" * 1000}
FOLDER = "countermark-evidence-pay_eu_1"
ARCHIVE = pack(FILES, FOLDER)


def compressed(tar: bytes, header: bytes = ARCHIVE[:10]) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(tar) + deflater.flush()
    return header + body + struct.pack("<II", zlib.crc32(tar), len(tar) & 0xFFFFFFFF)


def tar_of(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"y" * member.size))
    return out.getvalue()


def member(name: str, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = 3, 0o644, 0
    for field, value in changes.items():
        setattr(info, field, value)
    return info


def test_what_is_packed_is_unpacked() -> None:
    assert FILES == unpack(ARCHIVE)
    assert FOLDER == folder_of(ARCHIVE)


def test_the_same_files_make_the_same_archive_in_whatever_order() -> None:
    assert ARCHIVE == pack(dict(reversed(FILES.items())), FOLDER)


def test_other_programs_read_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(ARCHIVE), mode="r:gz") as tar:
        read = {info.name: tar.extractfile(info).read() for info in tar.getmembers()}  # type: ignore[union-attr]

    assert {f"{FOLDER}/{name}": content for name, content in FILES.items()} == read
    assert list(read) == sorted(read)


def test_pythons_own_writer_makes_the_same_bytes() -> None:
    members = [member(f"{FOLDER}/a", size=3), member(f"{FOLDER}/b/c", size=0)]

    assert tar_of(*members) == gzip.decompress(pack({"a": b"yyy", "b/c": b""}, FOLDER))
    assert {"a": b"yyy", "b/c": b""} == unpack(compressed(tar_of(*members)))


@pytest.mark.parametrize(
    "tar",
    [
        tar_of(member("f/../x")),
        tar_of(member("/f/x")),
        tar_of(member("f/a/b/c")),
        tar_of(member("x")),
        tar_of(member("f/.x")),
        tar_of(member("f/x"), member("f/x")),
        tar_of(member("f/x"), member("g/x")),
        tar_of(member("f/x", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)),
        tar_of(member("f/x", type=tarfile.LNKTYPE, linkname="f/y", size=0)),
        tar_of(member("f/x", type=tarfile.DIRTYPE, size=0)),
        tar_of(member("f/x", type=tarfile.CHRTYPE, size=0)),
        tar_of(member("f/x", mode=0o755)),
        tar_of(member("f/x", mtime=1)),
        tar_of(member("f/x", uid=1)),
        tar_of(member("f/x", uname="root")),
        tar_of(member("f/b"), member("f/a")),
        tar_of(member("f/x\\y")),
        tar_of(member("f/x"))[:-512],
        tar_of(member("f/x")) + bytes(512),
        tar_of(member("f/x"))[:1000],
        b"",
        bytes(10240),
        tar_of(member("f/x", size=FILE_BYTES_MAX + 1)),
        tar_of(*(member(f"f/x{n:03}") for n in range(FILES_MAX + 1))),
        tar_of(member("f/x")).replace(b"yyy\0", b"yyyx"),
        tar_of(member("f/x")).replace(b"ustar\x0000", b"ustar  \0"),
        tar_of(member("f/x\xe4")),
        b"x" * 512,
    ],
)
def test_another_tar_is_refused(tar: bytes) -> None:
    with pytest.raises(ArchiveMalformed):
        unpack(compressed(tar))


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        ARCHIVE[:-1],
        ARCHIVE + b"x",
        ARCHIVE + ARCHIVE,
        ARCHIVE[:20],
        gzip.compress(gzip.decompress(ARCHIVE), mtime=1),
        b"x" * (ARCHIVE_BYTES_MAX + 1),
        ARCHIVE[:-8] + bytes(8),
        ARCHIVE[:10] + b"\xff" * 30,
        ARCHIVE[:10],
        compressed(bytes(TAR_BYTES_MAX + 1)),
        compressed(bytes(TAR_BYTES_MAX * 4)),
    ],
)
def test_another_gzip_file_is_refused_before_it_is_read_whole(archive: bytes) -> None:
    with pytest.raises(ArchiveMalformed):
        unpack(archive)


@pytest.mark.parametrize(
    "at", [0, 1, 2, 3, 4, 8, 9, 10, 15, len(ARCHIVE) // 2, len(ARCHIVE) - 8, len(ARCHIVE) - 1]
)
def test_an_altered_byte_is_noticed(at: int) -> None:
    changed = bytearray(ARCHIVE)
    changed[at] ^= 1
    try:
        files = unpack(bytes(changed))
    except ArchiveMalformed:
        return

    assert FILES == files  # a deflated byte may have a second spelling; what it says is the same


def test_names_and_sizes_out_of_form_are_not_packed() -> None:
    for files, folder in (
        ({"../x": b""}, FOLDER),
        ({"a/b/c": b""}, FOLDER),
        ({"": b""}, FOLDER),
        ({}, FOLDER),
        ({"x": b""}, "a/b"),
        ({"x": bytes(FILE_BYTES_MAX + 1)}, FOLDER),
        ({"x" * 101: b""}, FOLDER),
        ({"x" * 300: b""}, FOLDER),
        ({f"{n}": bytes(FILE_BYTES_MAX) for n in range(20)}, FOLDER),
        ({f"{n}": b"" for n in range(257)}, FOLDER),
    ):
        with pytest.raises(ArchiveMalformed):
            pack(files, folder)
