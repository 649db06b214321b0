"""Checkpoints: the state of the log as one text, and the request that shows it to a witness.

Pure. Source: C2SP tlog-checkpoint v1.0.0, tlog-witness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import NoteMalformed
from .note_key import from_base64, require_note_name, to_base64
from .tree import HASH_BYTES, PATH_HASHES_MAX, SIZE_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_BYTES_MAX: Final = 136 * 1024  # a note of 128 KiB, and 63 hashes in base64
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log.

    Attributes:
        origin: the log's name.
        size: how many entries it holds.
        root: the root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes


def checkpoint_body(checkpoint: Checkpoint) -> bytes:
    """Return the text that a log signs.

    Raises:
        NoteMalformed: a value is not of its form.
    """
    require_note_name(checkpoint.origin)
    if not 0 <= checkpoint.size <= SIZE_MAX or len(checkpoint.root) != HASH_BYTES:
        raise NoteMalformed("a checkpoint has a size from 0 on and a root of 32 bytes")
    return f"{checkpoint.origin}\n{checkpoint.size}\n{to_base64(checkpoint.root)}\n".encode("ascii")


def parse_checkpoint_body(body: bytes) -> Checkpoint:
    """Read the text of a checkpoint. Extension lines are refused: our log writes none.

    Raises:
        NoteMalformed: not exactly what `checkpoint_body` makes.
    """
    lines = body.decode("latin-1").split("\n")
    if len(lines) != 4 or lines[3]:  # noqa: PLR2004 - three lines, and nothing after the last line break
        raise NoteMalformed("a checkpoint has exactly three lines: origin, size, root")
    require_note_name(lines[0])
    size, root = _integer(lines[1]), from_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise NoteMalformed("the root of a checkpoint has 32 bytes")
    return Checkpoint(lines[0], size, root)


@dataclass(frozen=True, slots=True)
class AddCheckpointRequest:
    """What a witness is asked: to cosign the checkpoint in `note`, which continues the size it knows."""

    old_size: int
    path: tuple[bytes, ...]
    note: bytes


def add_checkpoint_request(old_size: int, path: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of a request to a witness.

    Args:
        old_size: of the checkpoint that the witness cosigned last; 0 if none.
        path: from `consistency_path`.
        note: the new checkpoint, signed by the log.

    Raises:
        NoteMalformed: a part is not of its form.
    """
    lines = "".join(f"{to_base64(part)}\n" for part in path)
    body = f"old {old_size}\n{lines}\n".encode("ascii") + note
    parse_add_checkpoint_request(body)
    return body


def parse_add_checkpoint_request(body: bytes) -> AddCheckpointRequest:
    """Read the body of a request to a witness; the note is for `parse_note`.

    Raises:
        NoteMalformed: not of the form that `add_checkpoint_request` makes.
    """
    if len(body) > REQUEST_BYTES_MAX:
        raise NoteMalformed(f"the request has more than {REQUEST_BYTES_MAX} bytes")
    head, separator, note = body.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    if not separator or not first.startswith("old "):
        raise NoteMalformed("a request to a witness begins with the old size, hashes and an empty line")
    if len(lines) > PATH_HASHES_MAX:
        raise NoteMalformed(f"a path has at most {PATH_HASHES_MAX} hashes")
    path = tuple(from_base64(line) for line in lines)
    if any(len(part) != HASH_BYTES for part in path):
        raise NoteMalformed("a hash has 32 bytes")
    old_size = _integer(first.removeprefix("old "))
    return AddCheckpointRequest(old_size, path, note)


def _integer(text: str) -> int:
    if _SIZE.fullmatch(text) is None or int(text) > SIZE_MAX:
        raise NoteMalformed("a size is a decimal number without leading zeroes")
    return int(text)
