"""The state file says what it was told, or is refused; it is never half believed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.authority_state import (
    ROTATION_KINDS,
    STATE_BYTES_MAX,
    STATE_VERSION,
    AuthorityState,
    Rotation,
    format_state,
    is_authority_id,
    parse_state,
)
from pki.errors import TreeError

PLACE = "certs/state.json"
ROOTS = ("root-20260301-0000000a", "root-20260301-0000000b")
ISSUERS = ("intermediate-20260301-0000000c", "intermediate-20260301-0000000d")
ROTATION = Rotation(
    "intermediate", "drain", "2026-03-01T12:00:00+00:00", ("gateway",), ("ab",), *ISSUERS, ROOTS[0], ROOTS[0]
)
STATE = AuthorityState("countermark.internal", ISSUERS[1], ROOTS, ISSUERS, ROTATION)
FIELDS: dict[str, Any] = json.loads(format_state(STATE))

roots = st.from_regex(r"\Aroot-[0-9]{8}-[0-9a-f]{8}\Z")
intermediates = st.from_regex(r"\Aintermediate-[0-9]{8}-[0-9a-f]{8}\Z")
workloads = st.from_regex(r"\A[a-z][a-z0-9]{0,20}\Z")
rotations = st.builds(
    Rotation,
    kind=st.sampled_from(ROTATION_KINDS),
    stage=st.from_regex(r"\A[a-z]{1,8}(-[a-z]{1,8})?\Z"),
    began=st.datetimes().map(lambda moment: moment.isoformat()),
    names=st.lists(workloads, max_size=4).map(tuple),
    replaced=st.lists(st.from_regex(r"\A[0-9a-f]{1,40}\Z"), max_size=4).map(tuple),
    old_issuer=intermediates,
    new_issuer=intermediates,
    old_root=roots,
    new_root=roots,
    reverting=st.booleans(),
)
states = st.builds(
    lambda domain, trust, listed, rotation: AuthorityState(domain, listed[0], trust, listed, rotation),
    st.from_regex(r"\A[a-z]{1,10}\.[a-z]{1,10}\Z"),
    st.lists(roots, min_size=1, max_size=3, unique=True).map(tuple),
    st.lists(intermediates, min_size=1, max_size=3, unique=True).map(tuple),
    st.none() | rotations,
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([*ROOTS, *ISSUERS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def state_or_refusal(data: bytes) -> AuthorityState | TreeError:
    """Return either; any other exception fails the test that calls."""
    try:
        return parse_state(data, PLACE)
    except TreeError as refusal:
        return refusal


@given(states)
def test_a_state_is_read_back_as_it_was_written(state: AuthorityState) -> None:
    assert state == parse_state(format_state(state), PLACE)


@given(st.binary(max_size=300))
def test_bytes_that_are_not_ours_are_refused_with_their_place(data: bytes) -> None:
    with pytest.raises(TreeError, match=PLACE):
        parse_state(data, PLACE)


@given(st.sampled_from(sorted(FIELDS)), values)
def test_whatever_a_field_holds_it_is_a_state_or_a_refusal(field: str, value: object) -> None:
    found = state_or_refusal(json.dumps(FIELDS | {field: value}).encode())

    assert isinstance(found, TreeError) or found == parse_state(format_state(found), PLACE)


@given(st.sampled_from(sorted(FIELDS["rotation"])), values)
def test_whatever_a_field_of_the_rotation_holds_it_is_a_state_or_a_refusal(field: str, value: object) -> None:
    altered = FIELDS | {"rotation": FIELDS["rotation"] | {field: value}}
    found = state_or_refusal(json.dumps(altered).encode())

    assert isinstance(found, TreeError) or found == parse_state(format_state(found), PLACE)


@given(st.integers(0, len(format_state(STATE)) - 1), st.integers(1, 255))
def test_a_flipped_byte_gives_a_state_or_a_refusal(position: int, change: int) -> None:
    data = bytearray(format_state(STATE))
    data[position] ^= change
    found = state_or_refusal(bytes(data))

    assert isinstance(found, AuthorityState | TreeError)


@given(st.integers(0, len(format_state(STATE)) - 3))
def test_a_cut_file_is_refused(length: int) -> None:
    with pytest.raises(TreeError, match="damaged"):
        parse_state(format_state(STATE)[:length], PLACE)


@pytest.mark.parametrize(
    "changes",
    [
        {"trust_domain": "internal"},
        {"trust_domain": "../countermark.internal"},
        {"trust_domain": 7},
        {"issuer": "intermediate-20260301-0000000C"},
        {"issuer": "../intermediate-20260301-0000000c"},
        {"issuer": None},
        {"trust": ROOTS[0]},
        {"trust": [f"{ROOTS[0]}\n"]},
        {"trust": None},
        {"intermediates": [["x"]]},
        {"rotation": []},
        {"rotation": {}},
        {"rotation": FIELDS["rotation"] | {"extra": 1}},
        {"rotation": FIELDS["rotation"] | {"kind": "all"}},
        {"rotation": FIELDS["rotation"] | {"stage": "Drain"}},
        {"rotation": FIELDS["rotation"] | {"stage": ""}},
        {"rotation": FIELDS["rotation"] | {"reverting": 0}},
        {"rotation": FIELDS["rotation"] | {"names": ["../gateway"]}},
        {"rotation": FIELDS["rotation"] | {"new_root": "root"}},
        {"rotation": FIELDS["rotation"] | {"old_issuer": None}},
    ],
)
def test_a_field_that_we_would_not_write_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TreeError, match=f"{PLACE} is damaged: restore it from a backup"):
        parse_state(json.dumps(FIELDS | changes).encode(), PLACE)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(TreeError, match="damaged"):
        parse_state(json.dumps({k: v for k, v in FIELDS.items() if k != field}).encode(), PLACE)


@pytest.mark.parametrize("field", sorted(FIELDS["rotation"]))
def test_a_missing_field_of_the_rotation_is_refused(field: str) -> None:
    rotation = {k: v for k, v in FIELDS["rotation"].items() if k != field}
    with pytest.raises(TreeError, match="damaged"):
        parse_state(json.dumps(FIELDS | {"rotation": rotation}).encode(), PLACE)


def test_a_nested_file_is_refused() -> None:
    with pytest.raises(TreeError, match="damaged"):
        parse_state(b"[" * 100_000, PLACE)


def test_a_file_of_the_greatest_length_is_read_and_a_longer_one_is_not() -> None:
    longest = format_state(STATE).ljust(STATE_BYTES_MAX)

    assert STATE == parse_state(longest, PLACE)
    with pytest.raises(TreeError, match="damaged"):
        parse_state(longest + b" ", PLACE)


@given(states)
def test_a_file_of_version_1_has_its_issuer_alone_and_no_rotation(state: AuthorityState) -> None:
    written = {
        "version": 1,
        "trust_domain": state.trust_domain,
        "issuer": state.issuer,
        "trust": list(state.trust),
    }

    assert replace(state, intermediates=(state.issuer,), rotation=None) == parse_state(
        json.dumps(written).encode(), PLACE
    )


@pytest.mark.parametrize("version", [STATE_VERSION + 1, 0, -1, "2", None, [2]])
def test_a_file_of_another_version_is_refused_by_name(version: object) -> None:
    with pytest.raises(TreeError) as refusal:
        parse_state(json.dumps({"version": version}).encode(), PLACE)

    assert f"{PLACE} is of version {version}; this code knows 1 to {STATE_VERSION}" == str(refusal.value)


def test_roots_come_before_intermediates_in_what_is_listed() -> None:
    assert (*ROOTS, *ISSUERS) == STATE.listed


@pytest.mark.parametrize(
    "text",
    ["", "root", "leaf-20260301-0000000a", f"{ROOTS[0]}/..", f"{ROOTS[0]}\n", "root-٢٠٢٦٠٣٠١-0000000a"],
)
def test_what_could_not_name_a_folder_of_ours_is_no_authority(text: str) -> None:
    assert not is_authority_id(text)


@given(roots | intermediates)
def test_the_id_of_a_root_or_an_intermediate_is_one(text: str) -> None:
    assert is_authority_id(text)


@pytest.mark.parametrize(
    "altered",
    [
        {"issuer": ROOTS[0]},
        {"issuer": "intermediate-20260301-0000000e"},
        {"trust": []},
        {"trust": [ISSUERS[0]]},
        {"trust": [ROOTS[0], ROOTS[0]]},
        {"trust": ROOTS[0]},
        {"intermediates": []},
        {"intermediates": [ROOTS[0], *ISSUERS]},
        {"version": True},
        {"version": 2.0},
        {"rotation": FIELDS["rotation"] | {"names": "gateway"}},
        {"rotation": FIELDS["rotation"] | {"old_issuer": ROOTS[0]}},
        {"rotation": FIELDS["rotation"] | {"new_root": ISSUERS[0]}},
    ],
)
def test_an_authority_in_anothers_place_is_damage(altered: dict[str, Any]) -> None:
    with pytest.raises(TreeError, match="restore it from a backup"):
        parse_state(json.dumps(FIELDS | altered).encode(), PLACE)
