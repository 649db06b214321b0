"""Messages whose end two parsers could see at different places, and fields after it."""

from __future__ import annotations

from tests.adversary.signing import attacked_request as attack


def test_ambiguous_framing_and_trailers_are_refused() -> None:
    both = (("Content-Length", "21"), ("Transfer-Encoding", "chunked"))
    with attack.refused("header_malformed"):
        attack.accept(attack.good().with_headers(both))
    with attack.refused("header_malformed"):
        attack.accept(attack.good().with_headers((("Trailer", "Content-Digest"),)))
    with attack.refused("header_duplicated"):
        attack.accept(attack.good().with_headers((("Content-Length", "21"), ("content-length", "22"))))
