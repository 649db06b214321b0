"""No peer meets a certificate that it does not trust yet, on the way in or on any way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.authority_state import ROTATION_KINDS, AuthorityState, Rotation
from pki.errors import RotationFault
from pki.rotation.plan import after, remaining, reverted, stages, state_in

OLD_ROOT, NEW_ROOT = "root-20250301-0000000a", "root-20260301-0000000b"
OLD_ISSUER, NEW_ISSUER = "intermediate-20250301-0000000c", "intermediate-20260301-0000000d"
BEFORE = AuthorityState("countermark.internal", OLD_ISSUER, (OLD_ROOT,), (OLD_ISSUER,))
BEGUN = {
    kind: Rotation(
        kind,
        first,
        "2026-03-01T12:00:00+00:00",
        ("gateway", "vault"),
        ("ab", "cd"),
        OLD_ISSUER,
        issuer,
        OLD_ROOT,
        root,
    )
    for kind, first, issuer, root in (
        ("leaf", "issue-new", OLD_ISSUER, OLD_ROOT),
        ("intermediate", "trust-both", NEW_ISSUER, OLD_ROOT),
        ("root", "trust-both", NEW_ISSUER, NEW_ROOT),
    )
}
FORWARD = {
    "leaf": ["issue-new", "retire"],
    "intermediate": ["trust-both", "issue-new", "drain", "trust-new", "retire"],
    "root": ["trust-both", "issue-new", "drain", "trust-new", "retire"],
}
BACK = ["issue-old", "drain-back", "trust-old", "discard"]
REVERTIBLE = ["trust-both", "issue-new", "drain"]
AUTHORITY_KINDS = ["intermediate", "root"]
# Once one of these is done, connections that were opened with the other issuer's leaves have ended.
DRAINS = {"drain", "drain-back"}


@dataclass(frozen=True)
class Way:
    """One way through a rotation: the states in order, the one before it first, the one after it last."""

    kind: str
    back_from: str | None

    def __str__(self) -> str:
        return f"{self.kind} {f'back from {self.back_from}' if self.back_from else 'forward'}"

    def states(self) -> list[AuthorityState]:
        found = [BEFORE, state_in(BEFORE, BEGUN[self.kind])]
        turned = self.back_from is None
        while (rotation := found[-1].rotation) is not None:
            if not turned and rotation.stage == self.back_from:
                turned = True
                found.append(state_in(found[-1], reverted(rotation)))
            else:
                found.append(after(found[-1], rotation))
        return found

    def presented(self) -> list[frozenset[str]]:
        """The issuers whose leaves may be met while each state is brought about."""
        found: list[frozenset[str]] = []
        still: frozenset[str] = frozenset()
        for state in self.states():
            still |= {state.issuer}
            found.append(still)
            if state.rotation is not None and state.rotation.stage in DRAINS:
                still = frozenset({state.issuer})
        return found

    def trusts(self, state: AuthorityState, issuer: str) -> bool:
        """Whether a peer that loaded this state accepts that issuer's leaves: its root, and both lists."""
        rotation = BEGUN[self.kind]
        root = {rotation.new_issuer: rotation.new_root, rotation.old_issuer: rotation.old_root}[issuer]
        return root in state.trust and {root, issuer} <= set(state.listed)


WAYS = [Way(kind, None) for kind in ROTATION_KINDS]
WAYS += [Way(kind, stage) for kind in AUTHORITY_KINDS for stage in REVERTIBLE]
every_way = pytest.mark.parametrize("way", WAYS, ids=str)


def test_every_kind_of_rotation_is_walked() -> None:
    assert set(ROTATION_KINDS) == BEGUN.keys()


@pytest.mark.parametrize("kind", ROTATION_KINDS)
def test_the_stages_stand_in_their_order(kind: str) -> None:
    assert FORWARD[kind] == [stage.name for stage in stages(kind)]


@pytest.mark.parametrize("kind", AUTHORITY_KINDS)
def test_the_stages_back_stand_in_their_order(kind: str) -> None:
    assert BACK == [stage.name for stage in stages(kind, reverting=True)]


@every_way
def test_a_way_passes_each_stage_once_and_ends_without_a_rotation(way: Way) -> None:
    first, *passed, last = way.states()
    names = FORWARD[way.kind]
    if way.back_from is not None:
        names = [*names[: names.index(way.back_from) + 1], *BACK]

    assert names == [state.rotation.stage if state.rotation else None for state in passed]
    assert (None, None) == (first.rotation, last.rotation)


@every_way
def test_the_issuer_in_force_is_trusted_and_its_list_goes_along(way: Way) -> None:
    states = way.states()

    assert [True] * len(states) == [way.trusts(state, state.issuer) for state in states]


@every_way
def test_every_issuer_whose_leaves_may_still_be_presented_is_trusted(way: Way) -> None:
    for state, presented in zip(way.states(), way.presented(), strict=True):
        assert {True} == {way.trusts(state, issuer) for issuer in presented}, state.rotation


@every_way
def test_a_peer_that_is_one_stage_behind_trusts_every_leaf_of_this_stage(way: Way) -> None:
    for behind, state in pairwise(way.states()):
        assert way.trusts(behind, state.issuer), state.rotation


@every_way
def test_what_is_listed_are_the_trusted_roots_and_the_intermediates_each_once(way: Way) -> None:
    for state in way.states():
        assert sorted({*state.trust, *state.intermediates}) == sorted(state.listed)


@every_way
def test_a_stage_that_is_brought_about_again_gives_the_same_state(way: Way) -> None:
    for state in way.states():
        assert state.rotation is None or state == state_in(state, state.rotation)


@every_way
def test_a_rotation_ends_with_one_issuer_and_nothing_of_the_other(way: Way) -> None:
    rotation = BEGUN[way.kind]
    forward = AuthorityState(
        BEFORE.trust_domain, rotation.new_issuer, (rotation.new_root,), (rotation.new_issuer,)
    )

    assert (forward if way.back_from is None else BEFORE) == way.states()[-1]


@every_way
def test_whose_leaves_are_replaced_does_not_change_on_the_way(way: Way) -> None:
    for state in way.states()[1:-1]:
        assert state.rotation is not None
        assert BEGUN[way.kind] == replace(state.rotation, stage=BEGUN[way.kind].stage, reverting=False)


@pytest.mark.parametrize("kind", ROTATION_KINDS)
def test_the_old_is_trusted_until_it_is_drained_and_not_once_its_keys_are_destroyed(kind: str) -> None:
    way = Way(kind, None)
    trusting = {
        state.rotation.stage: way.trusts(state, OLD_ISSUER) for state in way.states() if state.rotation
    }

    assert {stage: kind == "leaf" or stage in REVERTIBLE for stage in FORWARD[kind]} == trusting


@pytest.mark.parametrize("kind", AUTHORITY_KINDS)
@pytest.mark.parametrize("stage", REVERTIBLE)
def test_a_way_back_begins_with_leaves_of_the_old_issuer(kind: str, stage: str) -> None:
    found = reverted(replace(BEGUN[kind], stage=stage))

    assert replace(BEGUN[kind], stage="issue-old", reverting=True) == found
    assert [True] * 3 + [False] * 2 == [step.revertible for step in stages(kind)]


@pytest.mark.parametrize("kind", AUTHORITY_KINDS)
@pytest.mark.parametrize("stage", BACK)
def test_a_rotation_on_its_way_back_goes_on_from_where_it_is(kind: str, stage: str) -> None:
    rotation = replace(BEGUN[kind], stage=stage, reverting=True)

    assert rotation == reverted(rotation)


@pytest.mark.parametrize(
    ("kind", "stage"),
    [(kind, stage) for kind in AUTHORITY_KINDS for stage in ("trust-new", "retire")]
    + [("leaf", stage) for stage in FORWARD["leaf"]],
)
def test_there_is_no_way_back_from_where_the_old_is_not_trusted_any_more(kind: str, stage: str) -> None:
    advice = "rotate again" if kind != "leaf" else "with --resume$"
    with pytest.raises(RotationFault, match=f"{kind} rotation cannot go back from stage {stage}.*{advice}"):
        reverted(replace(BEGUN[kind], stage=stage))


@pytest.mark.parametrize("kind", ROTATION_KINDS)
def test_what_remains_begins_with_the_stage_under_way(kind: str) -> None:
    for index, stage in enumerate(FORWARD[kind]):
        left = remaining(replace(BEGUN[kind], stage=stage))
        assert FORWARD[kind][index:] == [step.name for step in left]


@pytest.mark.parametrize(
    ("kind", "stage", "reverting"),
    [
        ("root", "cross-sign", False),
        ("leaf", "trust-both", False),
        ("leaf", "drain", False),
        ("intermediate", "issue-old", False),
        ("intermediate", "trust-both", True),
        ("root", "retire", True),
        ("root", "", False),
    ],
)
def test_a_stage_that_this_version_does_not_know_is_refused(
    kind: str, stage: str, *, reverting: bool
) -> None:
    rotation = replace(BEGUN[kind], stage=stage, reverting=reverting)

    with pytest.raises(RotationFault, match=f"stage '{stage}' of a {kind} rotation"):
        remaining(rotation)
    with pytest.raises(RotationFault, match="use the version that began it"):
        after(BEFORE, rotation)


@given(st.sampled_from(ROTATION_KINDS), st.lists(st.booleans(), max_size=12))
def test_whatever_is_asked_a_rotation_ends_with_all_of_the_old_or_all_of_the_new(
    kind: str, asked_back: list[bool]
) -> None:
    way = Way(kind, None)
    state = state_in(BEFORE, BEGUN[kind])
    # More steps than any way has: what is asked first, then on to the end.
    for back in [*asked_back, *[False] * (len(FORWARD["root"]) + len(BACK))]:
        rotation = state.rotation
        if rotation is None:
            break
        behind = state
        if back and (rotation.reverting or remaining(rotation)[0].revertible):
            state = state_in(state, reverted(rotation))
        else:
            state = after(state, rotation)
        assert way.trusts(behind, state.issuer)
        assert way.trusts(state, state.issuer)

    assert state in (BEFORE, Way(kind, None).states()[-1])
