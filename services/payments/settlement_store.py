"""What the reconciler keeps in PostgreSQL, each question one function call in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import msgspec

from services.payments.machine.settlement import Booked, FileLine, Judgement

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_encoder = msgspec.json.Encoder()


class SettlementStore:
    """A pool of connections of the role `payments`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def settled_until(self, bank: str) -> int:
        """The last line that is kept; 0 for none."""
        return int(await self._pool.fetchval("select payments.settled_until($1)", bank))

    async def booked(self, bank: str, lines: Sequence[FileLine]) -> dict[int, Booked]:
        """What is booked of the attempt of each line, by line; lines of unknown attempts are left out."""
        rows = await self._pool.fetch(
            "select * from payments.booked_of($1, $2, $3, $4)",
            bank,
            [line.line for line in lines],
            [line.attempt_id for line in lines],
            [line.movement for line in lines],
        )
        return {row["line"]: Booked(**{name: row[name] for name in Booked.__struct_fields__}) for row in rows}

    async def lines_in_break(self, bank: str, lines_max: int) -> list[FileLine]:
        """The lines of open breaks, the newest first."""
        rows = await self._pool.fetch("select * from payments.lines_in_break($1, $2)", bank, lines_max)
        return [FileLine(**row) for row in rows]

    async def keep(self, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]) -> int:
        """Keep lines with what follows from them; how many were new."""
        breaks, mails = [], []
        for line, judgement in zip(lines, judged, strict=True):
            if judgement.kind is not None:
                breaks.append(
                    {"bank": bank, "kind": judgement.kind, "attempt_id": line.attempt_id, "line": line.line,
                     "expected": judgement.expected, "found": judgement.found}
                )  # fmt: skip
            if judgement.tell is not None:
                mails.append(
                    {"payment_id": line.end_to_end_id, "body": msgspec.Raw(_encoder.encode(judgement.tell)),
                     "source": f"settlement:{bank}", "source_id": str(line.line), "line": line.line}
                )  # fmt: skip
        return int(
            await self._pool.fetchval(
                "select payments.keep_settlement($1, $2, $3, $4, $5)",
                _encoder.encode(list(lines)).decode(), json.dumps(breaks), _encoder.encode(mails).decode(),
                bank, [],
            )
        )  # fmt: skip

    async def close(self, bank: str, lines: Sequence[int]) -> None:
        """Close the breaks of lines that agree with the record now."""
        await self._pool.execute(
            "select payments.keep_settlement('[]', '[]', '[]', $1, $2)", bank, list(lines)
        )

    async def find_missing(self, bank: str, age: timedelta) -> int:
        """How many breaks were opened because attempts older than `age` are in no file."""
        return int(await self._pool.fetchval("select payments.find_missing_lines($1, $2)", bank, age))

    async def breaks_open(self) -> int:
        """Breaks that nobody has closed, of all banks."""
        return int(await self._pool.fetchval("select payments.settlement_breaks_open()"))
