"""Nothing goes inside: not by address, not by name, not by redirect; and answers cannot hurt."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from services.notifications.addresses import parse_allowances
from services.notifications.egress import CheckedResolver, open_egress
from services.notifications.errors import AddressRefused
from tests.integration.notifications.stack import Stack, event
from tests.integration.notifications.webhook_receiver import Receiver


async def test_a_loopback_address_is_refused_unless_allowed(
    stack: Stack, receiver: Receiver, other_receiver: Receiver
) -> None:
    await stack.add_endpoint("allowed", receiver.url())
    await stack.add_endpoint("refused", other_receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        allowed, refused = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1, 1])

    assert ("delivered", None) == (allowed["state"], allowed["last_error"])
    assert ("pending", "address-refused") == (refused["state"], refused["last_error"])
    assert [] == other_receiver.seen


@pytest.mark.parametrize(
    "url", ["https://localhost.localdomain/x", "https://user@127.0.0.1/", "https://127.1/"]
)
async def test_names_and_odd_forms_reach_nobody(stack: Stack, url: str) -> None:
    await stack.add_endpoint("one", url)

    async with stack.running():
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])

    assert row["last_error"] in {"address-refused", "url-refused", "name-not-resolved"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    stack: Stack, receiver: Receiver, other_receiver: Receiver, status: int
) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": other_receiver.url("/inside")})

    receiver.answer = redirect
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address, other_receiver.address):
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])

    assert ("pending", status) == (row["state"], row["last_status"])
    assert [] == other_receiver.seen


async def test_the_way_out_itself_resolves_no_name_to_the_inside() -> None:
    resolver = CheckedResolver()
    try:
        with pytest.raises(AddressRefused):
            await resolver.resolve("localhost", 443)
    finally:
        await resolver.close()


async def test_the_way_out_itself_opens_no_socket_to_the_inside(stack: Stack, receiver: Receiver) -> None:
    other_port = parse_allowances(["127.0.0.1:9"])
    async with open_egress(other_port, trust_file=str(stack.trust_file), connections_max=1) as session:
        with pytest.raises(AddressRefused):
            await session.get(receiver.url())
    async with open_egress(
        parse_allowances([receiver.address]), trust_file=str(stack.trust_file), connections_max=1
    ) as session:
        await session.get(receiver.url("/control"))

    assert ["/control"] == [r.path for r in receiver.seen]


async def test_an_untrusted_receiver_gets_nothing(stack: Stack, receiver: Receiver) -> None:
    stack.trust_file.write_bytes((stack.postgres.pki.identity("notifications") / "trust.pem").read_bytes())
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])

    assert "tls-failed" == row["last_error"]
    assert [] == receiver.seen


async def test_an_answer_without_end_counts_by_its_status_and_is_cut_off(
    stack: Stack, receiver: Receiver
) -> None:
    cut_off = asyncio.Event()

    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            cut_off.set()

    receiver.answer = pour
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])
        async with asyncio.timeout(10):
            await cut_off.wait()

    assert 200 == row["last_status"]


async def test_retry_after_is_honoured_within_six_hours(stack: Stack, receiver: Receiver) -> None:
    async def ask_for_years(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "315360000"})

    receiver.answer = ask_for_years
    await stack.add_endpoint("one", receiver.url())

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        (row,) = await stack.until(lambda rows: [r["attempts"] for r in rows] == [1])

    assert 6 * 3600 - 5 < (row["due"] - row["added_at"]).total_seconds() < 6 * 3600 + 20
