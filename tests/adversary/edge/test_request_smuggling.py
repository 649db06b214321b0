"""Two requests in one, or one in two: whatever the framing says, each that arrives was let in by the edge.

Source: RFC 9112 §6.3 and §11.2; the catalogue of CL.TE, TE.CL, TE.TE and header tricks.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.adversary.edge.recording_gateway import Door, octets
from tests.adversary.gateway.edge_in_front import ANSWER_S_MAX, read_answer

HIDDEN = b"GET /v1/keys HTTP/1.1\r\nHost: hidden\r\n\r\n"
JSON = "Content-Type: application/json"
PAY = "POST /v1/payments"
CODINGS = (
    "Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding: xchunked",
    "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity",
    "Transfer-Encoding: Chunked", 'Transfer-Encoding: "chunked"', "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding:\r\n chunked", "X: y\r\n Transfer-Encoding: chunked", "Transfer_Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "transfer-encoding: \x0bchunked",
    "Content-Length: 5\r\nTransfer-Encoding: chunked", "TE: chunked", "Trailer: Content-Length",
)  # fmt: skip
LENGTHS = (
    None, "Content-Length: 0", "Content-Length: 6", "Content-Length: +6", "Content-Length: 6, 6",
    "Content-Length: 6\r\nContent-Length: 7", "Content-Length: 0x6", "Content-Length : 6",
    "Content-Length: 6 ", "Content-Length:\r\n 6", "Content_Length: 6", "Content-Length: -1",
    "Content-Length: 99999999999999999999",
)  # fmt: skip
BODIES = (
    b"0\r\n\r\n" + HIDDEN,
    b"5\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    b'5;ext="\r\n"\r\nhello\r\n0\r\n\r\n' + HIDDEN,
    b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    b"0\r\nContent-Length: 50\r\n\r\n" + HIDDEN,
    HIDDEN,
)


async def answers_to(door: Door, attack: bytes) -> list[int]:
    """Every status that comes back before the edge ends the connection or waits for more."""
    reader, writer = await door.edge.connect()
    statuses: list[int] = []
    try:
        writer.write(attack)
        async with asyncio.timeout(ANSWER_S_MAX):
            while True:
                statuses.append((await read_answer(reader)).status)
                # Whoever was refused gets no second answer; of what passed there may be another one.
                if statuses[-1] != 200 or len(statuses) > 2:
                    return statuses
                writer.write_eof() if writer.can_write_eof() else None
                writer.write(b"GARBAGE\r\n\r\n")
    except (ConnectionError, TimeoutError):
        return statuses
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("coding", CODINGS, ids=ascii)
async def test_what_arrives_is_what_the_edge_let_in_and_no_more(door: Door, coding: str) -> None:
    for length, body in itertools.product(LENGTHS, BODIES):
        before = len(door.arrived)
        fields = [JSON, coding, *([length] if length is not None else [])]
        attack = octets(PAY, *fields) + body

        statuses = await answers_to(door, attack)

        through = door.new(before)
        assert statuses.count(200) == len(through), (statuses, through, attack)
        for each in through:
            # The edge's own words, once, and one length: nobody behind it can see another end.
            assert [["127.0.0.1"], ["https"]] == [
                each.values("x-forwarded-for"), each.values("x-forwarded-proto")
            ], attack  # fmt: skip
            assert len(each.values("content-length")) <= 1, attack
            assert [] == each.values("transfer-encoding"), attack
            # A second request was seen as one by the edge, too: it was answered, by the same rules.
            assert each.target in {"/v1/payments", "/v1/keys"}, attack
            assert [str(len(each.body))] == (each.values("content-length") or ["0"]), attack


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 2\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, identity",
        "Content-Length: 2\r\nContent-Length: 3", "Content-Length: +2", "Content-Length: 2, 3",
        "Content_Length: 2", "Transfer_Encoding: chunked", "X_Forwarded_For: 10.0.0.1", "X-A : b",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "X-A: b\x00",
    ],
    ids=ascii,
)  # fmt: skip
async def test_an_ambiguous_head_is_refused_and_the_connection_ends(door: Door, line: str) -> None:
    before = len(door.arrived)

    statuses = await answers_to(door, octets(PAY, JSON, line) + b"{}" + HIDDEN)

    assert len(statuses) == 1
    assert statuses[0] in {400, 501}
    assert [] == door.new(before)


@pytest.mark.parametrize("line", ["X-A: b\r\n X-B: c", "X-A: b\r\n\tX-B: c", "X-A: b\rX-B: c"], ids=ascii)
async def test_a_fold_or_a_stray_carriage_return_makes_no_second_field(door: Door, line: str) -> None:
    # Envoy has no switch to refuse them: it joins what is folded. What goes on has one reading, and where the
    # field is a signed one, the signature is over what it says.
    before = len(door.arrived)

    await door.edge.send_raw(octets("GET /v1/payments", line))

    (arrived,) = door.new(before)
    assert [] == arrived.values("x-b")
    (value,) = arrived.values("x-a")
    assert set() == set(value) & {"\r", "\n", "\0"}
