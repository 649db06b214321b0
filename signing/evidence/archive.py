"""A bundle as one file, .tar.gz, with one form: the same files always make the same bytes.

Reading refuses everything that `pack` would not have written: links, devices, paths out
of the folder, a second folder, other modes and times, bytes after the end, another gzip
header. So an archive says nothing but what its files say. Pure. Source: POSIX ustar, RFC 1952.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, Final

from .errors import ArchiveMalformed

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_BYTES_MAX: Final = 512 * 1024  # a body has at most 64 KiB, and the manifest of 200 files 20
FILES_MAX: Final = 256  # 8 keys in the chain make 120
ARCHIVE_BYTES_MAX: Final = 8 * 1024 * 1024
TAR_BYTES_MAX: Final = 8 * 1024 * 1024
_BLOCK: Final = 512
_RECORD: Final = 20 * _BLOCK  # what tar writes at once
_MODE: Final = 0o644
# Deflated, no name, no time, slowest compression, unknown system: all that RFC 1952 lets a writer choose.
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}")
_NAME: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH_BYTES_MAX: Final = 255
_USTAR_NAME_BYTES: Final = 100
_LEVEL: Final = 9


def pack(files: Mapping[str, bytes], folder: str) -> bytes:
    """Return the archive of files under one folder.

    Args:
        files: content by path below the folder; at most one more folder deep.
        folder: the one folder of the archive.

    Raises:
        ArchiveMalformed: a name is not of its form, or there is too much of something.
    """
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    tar = _tar(files, folder)
    deflated = compressor.compress(tar) + compressor.flush()
    return _GZIP_HEADER + deflated + struct.pack("<II", zlib.crc32(tar), len(tar))


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the files of an archive by path below its folder.

    Raises:
        ArchiveMalformed: not an archive in the form that `pack` makes.
    """
    tar = _gunzip(archive)
    files: dict[str, bytes] = {}
    folder = None
    position = 0
    while position + _BLOCK <= len(tar) and tar[position] != 0:
        path, size = _read_header(tar[position : position + _BLOCK])
        this, _, name = path.partition("/")
        folder = this if folder is None else folder
        if this != folder or name in files:
            raise ArchiveMalformed("the archive has a second folder, or a file twice")
        content = tar[position + _BLOCK : position + _BLOCK + size]
        if len(content) != size or len(files) == FILES_MAX:
            raise ArchiveMalformed("the archive is cut short, or has too many files")
        files[name] = content
        position += _BLOCK + -(-size // _BLOCK) * _BLOCK
    # Whatever else the bytes could say, such as a mode or an owner, they say what pack says, or are refused.
    if folder is None or _tar(files, folder) != tar:
        raise ArchiveMalformed("the archive is not in the one form of a bundle")
    return files


def folder_of(archive: bytes) -> str:
    """Return the name of the one folder of an archive that `unpack` accepts.

    Raises:
        ArchiveMalformed: it does not begin with a file in a folder.
    """
    path, _ = _read_header(_gunzip(archive)[:_BLOCK])
    return path.partition("/")[0]


def _gunzip(archive: bytes) -> bytes:
    if len(archive) > ARCHIVE_BYTES_MAX:
        raise ArchiveMalformed(f"the archive has more than {ARCHIVE_BYTES_MAX} bytes")
    if not archive.startswith(_GZIP_HEADER):
        raise ArchiveMalformed("the archive is no gzip file, or has another header than a bundle's")
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        tar = decompressor.decompress(archive[len(_GZIP_HEADER) :], TAR_BYTES_MAX + 1)
    except zlib.error as error:
        raise ArchiveMalformed("the archive is damaged") from error
    if len(tar) > TAR_BYTES_MAX:
        raise ArchiveMalformed(f"the archive would unpack to more than {TAR_BYTES_MAX} bytes")
    trailer = struct.pack("<II", zlib.crc32(tar), len(tar))
    if not decompressor.eof or decompressor.unused_data != trailer:
        raise ArchiveMalformed("the archive is cut short, damaged, or followed by other bytes")
    return tar


def _tar(files: Mapping[str, bytes], folder: str) -> bytes:
    if _FOLDER.fullmatch(folder) is None:
        raise ArchiveMalformed("the folder's name is not of its form")
    if not 1 <= len(files) <= FILES_MAX:
        raise ArchiveMalformed(f"an archive has 1 to {FILES_MAX} files")
    parts = []
    for name in sorted(files):
        content = files[name]
        if _NAME.fullmatch(name) is None or len(content) > FILE_BYTES_MAX:
            raise ArchiveMalformed("a file's name is not of its form, or the file is too large")
        parts += [_header(f"{folder}/{name}", len(content)), content, bytes(-len(content) % _BLOCK)]
    tar = b"".join(parts) + bytes(2 * _BLOCK)
    if len(tar) > TAR_BYTES_MAX - _RECORD:
        raise ArchiveMalformed("the files are too large together")
    return tar + bytes(-len(tar) % _RECORD)


def _header(path: str, size: int) -> bytes:
    prefix, name = "", path
    if len(path) > _USTAR_NAME_BYTES:
        prefix, _, name = path.rpartition("/")
    if len(path) > _PATH_BYTES_MAX or len(name) > _USTAR_NAME_BYTES:
        raise ArchiveMalformed("a file's name is too long")
    fields = struct.pack(
        "100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x",
        name.encode("ascii"), b"%07o" % _MODE, b"%07o" % 0, b"%07o" % 0, b"%011o" % size, b"%011o" % 0,
        b" " * 8, b"0", b"", b"ustar", b"00", b"", b"", b"", b"", prefix.encode("ascii"),
    )  # fmt: skip
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def _read_header(block: bytes) -> tuple[str, int]:
    """Return path and size; that the rest of the header is as it must be shows when it is made again."""
    name, prefix = block[:100].rstrip(b"\0"), block[345:500].rstrip(b"\0")
    size = re.fullmatch(rb"[0-7]{11}", block[124:135])
    path = (prefix + b"/" + name if prefix else name).decode("latin-1")
    if size is None or "/" not in path:
        raise ArchiveMalformed("the archive holds something that is no file in a folder")
    return path, int(size[0], 8)
