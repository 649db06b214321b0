from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.witness.judgement import Cosign, Refuse, Seen, judge, origin_of
from signing import SigningKey
from signing.evidence.checkpoint import Checkpoint, add_checkpoint_request, checkpoint_body
from signing.evidence.note import make_note, sign_note
from signing.evidence.tiles import append_leaves, node_from_tiles
from signing.evidence.tree import consistency_path, leaf_hash, root
from signing.evidence.trust import NamedKey

ORIGIN = "countermark.example/eu"
KEY, STRANGER = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")
LOGS = [NamedKey(ORIGIN, KEY.verifying_key)]
SIZE_MAX = 300


class Log:
    """A log that tells one story, or another if its seed is another."""

    def __init__(self, seed: str = "", *, forked_at: int = 0) -> None:
        leaves = [
            leaf_hash(f"{seed if number >= forked_at else ''}{number}".encode()) for number in range(SIZE_MAX)
        ]
        tiles = {(t.level, t.index): t.hashes for t in append_leaves(0, leaves, lambda *_: b"")}
        self.node = node_from_tiles(lambda level, index: tiles[level, index])

    def seen(self, size: int) -> Seen:
        return Seen(size, root(size, self.node))

    def request(
        self,
        old: int,
        size: int,
        *,
        key: SigningKey = KEY,
        origin: str = ORIGIN,
        path: list[bytes] | None = None,
    ) -> bytes:
        body = checkpoint_body(Checkpoint(origin, size, root(size, self.node)))
        note = make_note(body, [sign_note(body, origin, key)])
        if path is None:
            path = consistency_path(old, size, self.node) if 0 < old < size else []
        return add_checkpoint_request(old, path, note)


HONEST = Log()


@given(st.integers(0, SIZE_MAX), st.data())
def test_a_continuation_is_cosigned_whatever_the_sizes(old: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(max(old, 1), SIZE_MAX))
    seen = HONEST.seen(old) if old else None

    verdict = judge(HONEST.request(old, size), LOGS, seen)

    assert isinstance(verdict, Cosign)
    assert (ORIGIN, seen, HONEST.seen(size)) == (verdict.origin, verdict.before, verdict.seen)


@given(st.integers(1, SIZE_MAX - 1), st.data())
def test_another_history_is_refused_even_with_a_proof_of_its_own(old: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(old + 1, SIZE_MAX))
    forked = Log("other", forked_at=data.draw(st.integers(0, old - 1)))

    verdict = judge(forked.request(old, size), LOGS, HONEST.seen(old))

    assert Refuse(HTTPStatus.UNPROCESSABLE_ENTITY) == verdict


def test_two_trees_of_one_size_are_a_conflict() -> None:
    assert Refuse(HTTPStatus.CONFLICT, 9) == judge(Log("x").request(9, 9), LOGS, HONEST.seen(9))


def test_a_checkpoint_shown_again_is_cosigned_again() -> None:
    verdict = judge(HONEST.request(9, 9), LOGS, HONEST.seen(9))

    assert isinstance(verdict, Cosign)
    assert verdict.before == verdict.seen


@pytest.mark.parametrize("old", [0, 8, 10])
def test_a_wrong_old_size_is_told_the_right_one(old: int) -> None:
    assert Refuse(HTTPStatus.CONFLICT, 9) == judge(HONEST.request(old, 20), LOGS, HONEST.seen(9))


def test_a_shorter_log_is_refused() -> None:
    assert Refuse(HTTPStatus.CONFLICT, 9) == judge(HONEST.request(0, 5), LOGS, HONEST.seen(9))
    assert Refuse(HTTPStatus.BAD_REQUEST) == judge(HONEST.request(9, 5), LOGS, HONEST.seen(9))


def test_a_stranger_and_an_unknown_log_are_refused() -> None:
    stranger = HONEST.request(0, 5, key=STRANGER)
    unknown = HONEST.request(0, 5, origin="countermark.example/us")

    assert Refuse(HTTPStatus.FORBIDDEN) == judge(stranger, LOGS, None)
    assert Refuse(HTTPStatus.NOT_FOUND) == judge(unknown, LOGS, None)


def test_a_proof_where_none_belongs_is_refused() -> None:
    request = HONEST.request(0, 5, path=[bytes(32)])

    assert Refuse(HTTPStatus.UNPROCESSABLE_ENTITY) == judge(request, LOGS, None)


@given(st.binary(max_size=400))
def test_nothing_malformed_is_cosigned_or_crashes(request: bytes) -> None:
    assert Refuse(HTTPStatus.BAD_REQUEST) == judge(request, LOGS, None)
    assert None is origin_of(request)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_altered_byte_is_cosigned_for_another_tree(place: int, value: int) -> None:
    good = HONEST.request(5, 40)
    place %= len(good)
    altered = good[:place] + bytes([value]) + good[place + 1 :]

    verdict = judge(altered, LOGS, HONEST.seen(5))

    assert isinstance(verdict, Refuse) or verdict.seen == HONEST.seen(40)
