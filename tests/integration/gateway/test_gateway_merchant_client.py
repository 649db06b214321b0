"""The merchants' own client against the real gateway: what both sides promise, they promise each other."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from signing import (
    AnswerNotTrusted,
    AsyncGateway,
    GatewayRefused,
    OutcomeUnknown,
    Request,
    Response,
    RetryPolicy,
    SigningKey,
)
from signing.answers import Answer, NoAnswer
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN


class Sidecar:
    """A transport that reaches the gateway as its own sidecar does; answers can be lost on the way back."""

    def __init__(self, stack: Gateway) -> None:
        self.stack = stack
        self.sent: list[Request] = []
        self.lose = 0

    async def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer:  # noqa: ARG002
        self.sent.append(request)
        try:
            answer = await self.stack.send(request)
        except OSError as error:
            return NoAnswer(type(error).__name__, may_have_arrived=True)
        if self.lose and request.method == "POST":
            self.lose -= 1
            return NoAnswer("the answer was lost", may_have_arrived=True)
        return answer

    async def close(self) -> None:
        """Nothing is held."""


async def no_pause(_: float) -> None:
    """Ask again at once."""


def client(
    stack: Gateway,
    key: SigningKey,
    sleep: Callable[[float], Awaitable[None]] = no_pause,
    attempts_max: int = 4,
) -> tuple[AsyncGateway, Sidecar]:
    sidecar = Sidecar(stack)
    policy = RetryPolicy(attempts_max=attempts_max)
    return AsyncGateway(ORIGIN, key, sidecar, policy=policy, sleep=sleep), sidecar


async def enrolled(stack: Gateway, name: str) -> tuple[str, SigningKey]:
    """A merchant whose first key was registered by the client itself."""
    token = stack.enrol_only(name, "EUR")
    key = SigningKey.generate("ecdsa-p256-sha256")
    gateway, _ = client(stack, key)
    registered = await gateway.keys.register(
        key,
        merchant_id=token["merchant_id"],
        now=int(time.time()),
        enrolment_token=token["enrolment_token"],
    )

    assert (201, key.key_id, token["merchant_id"]) == (
        registered.status, registered["key_id"], registered["merchant_id"],
    )  # fmt: skip
    return token["merchant_id"], key


async def pay(gateway: AsyncGateway, amount: int = 1999, key: str | None = None) -> Answer:
    return await gateway.payments.create(
        kind="collect", amount=amount, currency="EUR", instrument="tok_visa_ok", idempotency_key=key
    )


async def test_a_merchant_enrols_pays_and_reads(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Client")
    gateway, _ = client(stack, key)
    paid = await pay(gateway)
    read = await gateway.payments.read(paid["id"])
    events = await gateway.payments.events(paid["id"])

    assert (202, 200) == (paid.status, read.status)
    assert (paid["id"], 1999) == (read["id"], read["amount"])
    assert 1 == events["data"][0]["sequence"]


async def test_a_later_key_is_registered_with_its_proof_and_pays(stack: Gateway) -> None:
    merchant_id, key = await enrolled(stack, "Later")
    new = SigningKey.generate("ed25519")
    gateway, _ = client(stack, key)
    registered = await gateway.keys.register(new, merchant_id=merchant_id, now=int(time.time()))
    paid = await pay(client(stack, new)[0])

    assert (201, 202) == (registered.status, paid.status)


async def test_a_lost_answer_is_asked_for_again_and_no_second_payment_is_made(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Lost")
    gateway, sidecar = client(stack, key)
    before = (await stack.footprint())["payments.payment"]
    sidecar.lose = 2
    paid = await pay(gateway)

    assert 202 == paid.status
    assert 1 == (await stack.footprint())["payments.payment"] - before
    assert 3 == len([request for request in sidecar.sent if request.method == "POST"])


async def test_an_unknown_outcome_is_settled_by_repeating_with_the_same_key(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Unknown")
    gateway, sidecar = client(stack, key)
    before = (await stack.footprint())["payments.payment"]
    sidecar.lose = 4
    with pytest.raises(OutcomeUnknown) as unknown:
        await pay(gateway)
    paid = await pay(gateway, key=unknown.value.idempotency_key)

    assert 202 == paid.status
    assert 1 == (await stack.footprint())["payments.payment"] - before


async def test_while_the_record_is_away_the_client_waits_as_it_is_told(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Away")
    pauses: list[float] = []

    async def mend(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            await stack.relay.mend()
            await stack.await_ready()

    gateway, sidecar = client(stack, key, mend)
    await pay(gateway)
    sidecar.sent.clear()
    await stack.relay.cut()
    paid = await pay(gateway)

    assert 202 == paid.status
    assert pauses
    assert 1 == len({field for r in sidecar.sent for field in r.headers if field[0] == "Idempotency-Key"})


async def test_one_key_for_two_payments_is_a_signed_refusal(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Reused")
    gateway, _ = client(stack, key)
    first = await pay(gateway)
    again = await pay(gateway, key=first.idempotency_key)
    with pytest.raises(GatewayRefused) as refused:
        await pay(gateway, amount=2000, key=first.idempotency_key)

    assert first.body == again.body
    assert (422, "idempotency_key_reused") == (refused.value.status, refused.value.problem_code)
    assert refused.value.receipt is not None
    assert refused.value.request_id.startswith("req_eu_")


async def test_a_key_that_is_not_registered_is_told_so_with_the_base_that_the_gateway_built(
    stack: Gateway,
) -> None:
    gateway, _ = client(stack, SigningKey.generate("ed25519"))
    with pytest.raises(GatewayRefused) as refused:
        await pay(gateway)

    assert (401, "key_unknown", None) == (
        refused.value.status, refused.value.problem_code, refused.value.receipt,
    )  # fmt: skip
    assert any("the bases are equal" in note for note in refused.value.__notes__)


async def test_a_payment_that_did_not_change_is_not_sent_again(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Conditional")
    gateway, sidecar = client(stack, key)
    paid = await pay(gateway)

    unchanged = await gateway.payments.read(paid["id"], known_sequence=1)
    changed = await gateway.payments.read(paid["id"], known_sequence=2)

    assert (True, b"") == (unchanged.unchanged, unchanged.body)
    assert (False, 1) == (changed.unchanged, changed["sequence"])

    async def meddling(request: Request, *, answer_bytes_max: int) -> Response | NoAnswer:
        """Somebody on the way makes the condition one that holds."""
        headers = tuple(
            (name, '"1"' if name == "If-None-Match" else value) for name, value in request.headers
        )
        return await honest(replace(request, headers=headers), answer_bytes_max=answer_bytes_max)

    honest, sidecar.send = sidecar.send, meddling  # type: ignore[method-assign]
    with pytest.raises(AnswerNotTrusted):
        await gateway.payments.read(paid["id"], known_sequence=2)


async def test_the_client_reads_everything_that_there_is(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Reader")
    gateway, _ = client(stack, key)
    paid = await pay(gateway)
    accounts = await gateway.accounts.list()
    event = f"evt_{paid['id'].removeprefix('pay_')}_1"

    assert [paid["id"]] == [each["id"] for each in (await gateway.payments.list())["data"]]
    assert [] == (await gateway.payments.attempts(paid["id"]))["data"]
    assert [] == (await gateway.refunds.list(payment_id=paid["id"]))["data"]
    assert [] == (await gateway.disputes.list(payment_id=paid["id"]))["data"]
    assert [event] == [each["id"] for each in (await gateway.events.list())["data"]]
    assert "payment.accepted" == (await gateway.events.read(event))["type"]
    assert 0 == (await gateway.accounts.balance(accounts["data"][0]["id"]))["available"]
    with pytest.raises(GatewayRefused, match="no such refund"):
        await gateway.refunds.read("ref_eu_01jx4q0000000000000000000a")
    with pytest.raises(GatewayRefused, match="no such dispute"):
        await gateway.disputes.read("dsp_eu_01jx4q0000000000000000000a")


async def test_the_client_keeps_webhook_endpoints(stack: Gateway) -> None:
    _, key = await enrolled(stack, "Hooks")
    gateway, _ = client(stack, key)
    endpoints, url = gateway.webhook_endpoints, "https://merchant.example/hook"

    made = await endpoints.create(url, events=["payment.failed"], symmetric_secret=True)
    changed = await endpoints.change(made["id"], description="shop")
    rotated = await endpoints.rotate_secret(made["id"], overlap_s=60)
    tested = await endpoints.test(made["id"])
    replayed = await gateway.deliveries.replay(tested["id"])
    listed = await gateway.deliveries.list(made["id"], status="pending")
    with pytest.raises(GatewayRefused, match="only a disabled one"):
        await endpoints.enable(made["id"])

    assert made["secret"] != rotated["secret"]
    assert 2 == len(rotated["secrets"])
    assert "shop" == changed["description"] == (await endpoints.read(made["id"]))["description"]
    assert [made["id"]] == [each["id"] for each in (await endpoints.list())["data"]]
    assert [tested["id"], replayed["id"]] == [each["id"] for each in listed["data"]] * 2
    assert [] == (await gateway.deliveries.read(tested["id"]))["attempts"]
    assert "deleted" == (await endpoints.delete(made["id"]))["status"]
