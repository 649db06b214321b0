"""Headers beyond 32 KiB or 64 fields, bodies beyond 64 KiB: refused at the edge, whatever they announce."""

from __future__ import annotations

import json

import pytest

from compose.derive.envoy_edge import HEADERS_MAX
from signing import Response
from signing.profile import BODY_BYTES_MAX
from tests.adversary.edge.recording_gateway import Door, octets

JSON = "Content-Type: application/json"
PAY = "POST /v1/payments"


def code_of(answer: Response) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["code"]


async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(door: Door) -> None:
    before = len(door.arrived)

    passed = await door.send(PAY, JSON, body=b"x" * BODY_BYTES_MAX)
    refused = await door.send(PAY, JSON, body=b"x" * (BODY_BYTES_MAX + 1))

    assert (200, (413, "too_large")) == (passed.status, code_of(refused))
    assert [BODY_BYTES_MAX] == [len(each.body) for each in door.new(before)]


async def test_a_body_of_no_announced_length_is_cut_at_the_same_limit(door: Door) -> None:
    before = len(door.arrived)
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    head = octets(PAY, JSON, "Transfer-Encoding: chunked")

    passed = await door.edge.send_raw(head + chunk * 4 + b"0\r\n\r\n")
    refused = await door.edge.send_raw(head + chunk * 5 + b"0\r\n\r\n")

    assert (200, (413, "too_large")) == (passed.status, code_of(refused))
    # However it was framed, the gateway is told one length.
    assert [(["65536"], [])] == [
        (each.values("content-length"), each.values("transfer-encoding")) for each in door.new(before)
    ]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((f"X-A: {'a' * 30_000}",), 200),
        ((f"X-A: {'a' * 33_000}",), 431),
        ([f"X-A{number}: {'a' * 3_000}" for number in range(11)], 431),
        ([f"X-A{number}: a" for number in range(HEADERS_MAX - 8)], 200),
        ([f"X-A{number}: a" for number in range(HEADERS_MAX + 1)], 431),
        ([f"Cookie: a{number}=b" for number in range(HEADERS_MAX + 1)], 431),
    ],
    ids=["long field", "longer field", "long together", "many", "too many", "too many cookies"],
)
async def test_headers_have_a_bound_in_bytes_and_in_number(
    door: Door, fields: list[str], status: int
) -> None:
    before = len(door.arrived)

    answer = await door.send("GET /v1/payments", *fields)

    assert status == answer.status
    assert (status == 200) == (len(door.new(before)) == 1)
    if status != 200:
        assert (431, "too_large") == code_of(answer)
