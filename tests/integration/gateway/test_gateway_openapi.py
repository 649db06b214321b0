from __future__ import annotations

import json
from datetime import timedelta

import pytest

from gateway.api.operations import Operation
from gateway.api.surface import DOCUMENT, OPERATIONS, PAGE, canonical
from gateway.openapi.document import build_document
from gateway.openapi.wording import ANSWER_KEPT_DAYS, KEY_REFUSED_DAYS
from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, get, header, problem

PUBLISHED = {DOCUMENT.path: "application/json", PAGE.path: "text/html; charset=utf-8"}


@pytest.mark.parametrize("path", PUBLISHED)
async def test_anyone_may_read_it_and_keep_it_as_long_as_it_is_so(stack: Gateway, path: str) -> None:
    answer = await stack.send(get(path))
    tag = header(answer, "ETag") or ""
    again = await stack.send(Request("GET", ORIGIN + path, (("If-None-Match", tag),), None))
    changed = await stack.send(Request("GET", ORIGIN + path, (("If-None-Match", '"older"'),), None))

    assert (200, PUBLISHED[path]) == (answer.status, header(answer, "Content-Type"))
    assert "max-age=300" == header(answer, "Cache-Control")
    assert "nosniff" == header(answer, "X-Content-Type-Options")
    assert (304, b"", tag) == (again.status, again.body, header(again, "ETag"))
    assert (200, answer.body) == (changed.status, changed.body)


async def test_the_document_is_the_one_of_the_code_with_this_gateways_origins(stack: Gateway) -> None:
    answer = await stack.send(get(DOCUMENT.path))

    assert json.loads(json.dumps(build_document([ORIGIN]))) == json.loads(answer.body)


async def test_a_browser_may_do_nothing_with_the_page_but_show_it(stack: Gateway) -> None:
    answer = await stack.send(get(PAGE.path))

    policy = header(answer, "Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "no-referrer" == header(answer, "Referrer-Policy")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
async def test_every_declared_operation_is_a_route_of_the_gateway(
    stack: Gateway, operation: Operation
) -> None:
    path, method = canonical(operation.path), operation.method
    target = path.replace("{tile}", "0/000").replace("{", "").replace("}", "")

    answer = await stack.send(Request(method, ORIGIN + target, (), None))

    # Whoever does not sign is told so, and of what is no route that it is none.
    refused = answer.status >= 400
    assert not refused or "there is no such route" != problem(answer).get("detail")
    assert answer.status != 405


async def test_how_long_keys_count_is_what_the_record_says(stack: Gateway) -> None:
    [row] = await stack.query(
        "select commands.answer_age_max() as kept, commands.tombstone_age_max() as refused"
    )

    assert (timedelta(days=ANSWER_KEPT_DAYS), timedelta(days=KEY_REFUSED_DAYS)) == (
        row["kept"],
        row["refused"],
    )
