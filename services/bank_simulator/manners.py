"""An answer as the bank gives it: at once, late, never, cut, or as bytes that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from services.bank_simulator.behaviour import NEVER_IN_TIME_S, SLOW_S, Manner

_HUGE_BYTES = 2 * 1024 * 1024  # Twice of what a caller here reads.
_NESTED_DEPTH = 100_000
_GARBAGE = b'{"\xff": "confirmed"}'  # JSON, but for one byte that is no UTF-8.
_ELSEWHERE = "https://elsewhere.invalid/v1/attempts"
_UNAVAILABLE = web.HTTPServiceUnavailable.status_code


async def give(
    request: web.Request,
    manner: Manner,
    answer: Callable[[int], bytes] | None,
    callback: Callable[[], Awaitable[None]],
) -> web.StreamResponse:
    """Answer.

    Args:
        answer: The body, with this added to the amount; None where the attempt was not taken.
        callback: Waits until the callback about it has arrived.
    """
    match manner:
        case Manner.SLOWLY:
            await asyncio.sleep(SLOW_S)
        case Manner.NEVER_IN_TIME:
            await asyncio.sleep(NEVER_IN_TIME_S)
        case Manner.CUT:
            if request.transport is not None:
                request.transport.abort()
        case Manner.CALLBACK_FIRST:
            await callback()
        case Manner.GARBAGE:
            return _json(_GARBAGE)
        case Manner.HUGE:
            return _json(b" " * _HUGE_BYTES)
        case Manner.NESTED:
            return _json(b"[" * _NESTED_DEPTH)
        case Manner.REDIRECT:
            return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers={"location": _ELSEWHERE})
        case _:
            pass
    if answer is None or manner is Manner.FAILS:
        return web.json_response({"code": "unavailable"}, status=_UNAVAILABLE)
    return _json(answer(1 if manner is Manner.OTHER_AMOUNT else 0))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
