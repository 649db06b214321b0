"""The typed caller of a witness.

Consistency: a line that came back is durable at the witness. Retry: safe; a checkpoint may be shown again.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from services.node.errors import HopUnknown
from services.node.hop_client import HopClient
from services.witness.messages import ADD_CHECKPOINT_PATH, LINE_BYTES_MAX, Conflict, Refused

# One signature and one fsync on somebody else's machine.
WITNESS_CALL_S_MAX = 5.0
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_REFUSALS = (400, 403, 404, 422)


class WitnessClient:
    """Shows checkpoints to one witness over one started `HopClient`."""

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop

    async def add_checkpoint(self, request: bytes) -> bytes | Conflict | Refused:
        """Show a checkpoint; return the witness's signature line, not verified yet.

        Args:
            request: From `add_checkpoint_request`.

        Raises:
            HopUnsent: It certainly did not leave.
            HopUnknown: No readable answer; the witness may remember the checkpoint.
        """
        answer = await self._hop.call(
            "POST", ADD_CHECKPOINT_PATH, request, headers={"content-type": "text/plain; charset=utf-8"}
        )
        if answer.status == HTTPStatus.OK:
            if not 0 < len(answer.body) <= LINE_BYTES_MAX or answer.body.count(b"\n") != 1:
                raise HopUnknown("the answer is not one signature line")
            return answer.body
        if answer.status == HTTPStatus.CONFLICT:
            match = _SIZE.fullmatch(answer.body)
            if match is None:
                raise HopUnknown("the answer is not a size")
            return Conflict(int(match[1]))
        if answer.status in _REFUSALS:
            return Refused(answer.status)
        raise HopUnknown(f"status {answer.status}")
