from __future__ import annotations

import json

import pytest

from signing import SigningKey
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import first_key_request


async def test_an_enrolment_makes_a_merchant_its_accounts_and_a_token_shown_once(stack: Gateway) -> None:
    done = stack.operate("enrol", "--name", "Two", "--currency", "EUR", "--currency", "USD", "--json")

    enrolled = json.loads(done.stdout)
    token_id, _, secret = enrolled["enrolment_token"].partition(".")
    accounts = await stack.query(
        "select currency, account_id from payments.account where merchant_id = $1", enrolled["merchant_id"]
    )
    stored = await stack.query("select * from registry.enrolment_token where token_id = $1", token_id)
    assert enrolled["accounts"] == {row["currency"]: row["account_id"] for row in accounts}
    assert ["EUR", "USD"] == sorted(enrolled["accounts"])
    assert secret not in repr(dict(stored[0]))
    assert secret not in stack.log()


async def test_a_lost_token_is_replaced_by_another(stack: Gateway) -> None:
    enrolled = stack.enrol_only("Lost", "EUR")
    key = SigningKey.generate("ed25519")

    token = stack.operate("token", "--merchant", enrolled["merchant_id"]).stdout.strip()

    answer = await stack.send(stack.sign(first_key_request(key, enrolled, token=token), key))
    assert (201, enrolled["merchant_id"]) == (answer.status, json.loads(answer.body)["merchant_id"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("enrol", "--name", "X", "--currency", "eur"), 2),
        (("enrol", "--name", "X"), 2),
        (("enrol", "--name", "X", "--currency", "EUR", "--webhook-url", "http://x.example"), 2),
        (("enrol", "--name", "", "--currency", "EUR"), 1),
        (("token", "--merchant", "mer_eu_nobody"), 1),
        (("revoke-key", "nobody", "--reason", "x"), 1),
        (("revoke-key", "-5nobody", "--reason", "x"), 1),
    ],
)
async def test_a_command_that_cannot_be_done_says_so_by_its_exit_code_and_leaves_nothing(
    stack: Gateway, arguments: tuple[str, ...], code: int
) -> None:
    count = (
        "select (select count(*) from registry.merchant)"
        " + (select count(*) from registry.enrolment_token) as n"
    )
    before = (await stack.query(count))[0]["n"]

    done = stack.operate(*arguments)

    assert code == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    assert before == (await stack.query(count))[0]["n"]


async def test_a_webhook_url_given_at_enrolment_becomes_an_endpoint(stack: Gateway) -> None:
    url = "https://shop.example/hook"
    done = stack.operate("enrol", "--name", "Hooked", "--currency", "EUR", "--webhook-url", url, "--json")

    enrolled = json.loads(done.stdout)
    endpoints = await stack.query(
        "select id, url from notifications.endpoint where merchant_id = $1", enrolled["merchant_id"]
    )
    assert [(enrolled["webhook_endpoint_id"], url)] == [tuple(row) for row in endpoints]
