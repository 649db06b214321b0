"""What crosses the hop to a witness: one request, and three kinds of answer.

Bodies are the texts of C2SP tlog-witness, so that any witness that speaks it can stand here.
"""

from __future__ import annotations

from dataclasses import dataclass

ADD_CHECKPOINT_PATH = "/add-checkpoint"
# Of a 409: its body is the size that the witness remembers, in decimal, and a line feed.
SIZE_MEDIA_TYPE = "text/x.tlog.size"
LINE_BYTES_MAX = 1024  # A name of 128 characters and 76 bytes in base64.


@dataclass(frozen=True, slots=True)
class Conflict:
    """The witness remembers another size than the request said."""

    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not cosign: 400 malformed, 403 unknown key, 404 unknown log, 422 no continuation."""

    status: int
