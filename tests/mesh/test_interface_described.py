"""Anyone reads what the interface is, through the front door and without a signature."""

from __future__ import annotations

import json

import pytest

from gateway.api.surface import DOCUMENT, PAGE
from tests.mesh.enrolled_merchant import EnrolledMerchant


@pytest.mark.parametrize("path", [DOCUMENT.path, PAGE.path])
async def test_the_description_comes_through_the_edge_and_is_kept_by_its_tag(
    merchant: EnrolledMerchant, path: str
) -> None:
    session, trust = merchant.wire._session, merchant.wire._trust()
    url = merchant.stack.places.origins[0] + path

    async with session.get(url, ssl=trust) as answer:
        body, tag = await answer.read(), answer.headers["ETag"]
        assert answer.status == 200
    async with session.get(url, ssl=trust, headers={"If-None-Match": tag}) as again:
        assert (304, b"") == (again.status, await again.read())

    if path == DOCUMENT.path:
        assert list(merchant.stack.places.origins) == [each["url"] for each in json.loads(body)["servers"]]
    else:
        assert b"<script" not in body
