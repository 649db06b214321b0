"""Bodies that two programs could read as different things: encoded, or of another type."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize("encoding", ["gzip", "identity", "", "br, gzip"])
def test_any_content_encoding_is_refused(encoding: str) -> None:
    with attack.refused("unsupported_media") as refusal:
        attack.accept(attack.good().with_headers((("Content-Encoding", encoding),)))

    assert (refusal.value.code, refusal.value.status) == ("unsupported_media", 415)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json, text/plain",
        " application/json",
        "application/json\n",
        "",
    ],
)
def test_any_other_media_type_is_refused(media_type: str) -> None:
    with attack.refused("unsupported_media"):
        attack.accept(attack.changed(attack.good(), "content-type", lambda _: media_type))
