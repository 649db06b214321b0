"""A revocation list names its CA's own revoked certificates, each once, or is not signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.authority_making import OpenAuthority
from pki.authority_state import AuthorityState
from pki.certificate_files import CertificateTree
from pki.crl import (
    INTERMEDIATE_LIST_LIFETIME,
    INTERMEDIATE_LIST_RENEW_AFTER,
    NUMBER_MAX,
    REASONS,
    ROOT_LIST_LIFETIME,
    ROOT_LIST_RENEW_AFTER,
    ListPlan,
    Revocation,
    lint_list,
    list_is_due,
    list_number,
    plan_list,
    sign_list,
)
from pki.errors import ProfileError, TreeError
from pki.issuance import plan_intermediate, plan_root, serial_number, sign_certificate
from pki.ledger import Attribution, LedgerHead, ledger_line, verify_ledger
from pki.profiles import BACKDATE
from pki.recorded_signing import RecordedSigning
from pki.revocation_lists import (
    list_in_force,
    lists_due,
    load_list,
    record_revocations,
    recorded_revocations,
    sign_next_list,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
DOMAIN = "countermark.internal"
ROOT_ID, CA_ID = "root-20260301-0000000a", "intermediate-20260301-0000000c"
# Scalars that everybody knows: these keys protect nothing.
ROOT_KEY, CA_KEY, OTHER_KEY = (ec.derive_private_key(n, ec.SECP256R1()) for n in (2, 3, 5))
ROOT_PLAN = plan_root(DOMAIN, NOW)
ROOT = sign_certificate(
    ROOT_PLAN, public_key=ROOT_KEY.public_key(), serial=serial_number(7), issuer=None, issuer_key=ROOT_KEY
)
CA_PLAN = plan_intermediate(DOMAIN, ROOT_PLAN, NOW)
CA, OTHER_CA = (
    sign_certificate(
        CA_PLAN, public_key=key.public_key(), serial=serial_number(8), issuer=ROOT, issuer_key=ROOT_KEY
    )
    for key in (CA_KEY, OTHER_KEY)
)
CA_END = CA.not_valid_after_utc
LIFETIMES = {ROOT_ID: ROOT_LIST_LIFETIME, CA_ID: INTERMEDIATE_LIST_LIFETIME}
ENTRY = Revocation("ab", CA_ID, f"spiffe://{DOMAIN}/gateway", "superseded", NOW, NOW + timedelta(days=7))

revocations = st.builds(
    Revocation,
    serial=st.integers(1, 2**159 - 1).map(lambda number: f"{number:x}"),
    issuer=st.sampled_from([ROOT_ID, CA_ID]),
    subject=st.just(ENTRY.subject),
    reason=st.sampled_from(sorted(REASONS)),
    at=st.timedeltas(timedelta(days=-9), timedelta(0)).map(lambda age: NOW + age),
    not_after=st.timedeltas(timedelta(days=-1), timedelta(days=1)).map(lambda left: NOW + left),
)


def planned(*entries: Revocation, previous: int = 0, end: datetime = CA_END, now: datetime = NOW) -> ListPlan:
    return plan_list(CA_ID, entries, previous=previous, not_after=end, now=now)


def signed(plan: ListPlan) -> x509.CertificateRevocationList:
    return sign_list(plan, issuer=CA, issuer_key=CA_KEY)


PLAN = planned(ENTRY, previous=6)
LIST = signed(PLAN)


@given(st.lists(revocations, max_size=12))
def test_a_list_names_its_own_and_unexpired_entries_alone(known: list[Revocation]) -> None:
    own = {entry.serial for entry in known if entry.issuer == CA_ID and entry.not_after > NOW - BACKDATE}

    assert sorted(own) == [entry.serial for entry in planned(*known).entries]


def test_an_entry_stays_until_no_peer_with_a_slow_clock_believes_the_certificate() -> None:
    end = ENTRY.not_after

    assert (ENTRY,) == planned(ENTRY, now=end + BACKDATE - MOMENT).entries
    assert () == planned(ENTRY, now=end + BACKDATE).entries


def test_an_entry_that_is_known_twice_is_named_once_as_it_was_first() -> None:
    assert (ENTRY,) == planned(ENTRY, replace(ENTRY, reason="key-compromise")).entries


@given(st.integers(0, NUMBER_MAX - 1))
def test_numbers_rise_by_one(previous: int) -> None:
    assert previous + 1 == planned(previous=previous).number


@pytest.mark.parametrize("authority", LIFETIMES)
@given(left=st.timedeltas(timedelta(seconds=1), timedelta(days=400)), micros=st.integers(0, 999_999))
def test_a_list_lives_as_long_as_its_kind_and_never_outlives_its_ca(
    authority: str, left: timedelta, micros: int
) -> None:
    end = (NOW + left).replace(microsecond=0)
    found = plan_list(authority, (), previous=0, not_after=end, now=NOW.replace(microsecond=micros))

    assert NOW - BACKDATE == found.this_update
    assert min(NOW + LIFETIMES[authority], end) == found.next_update


@settings(max_examples=25, deadline=None)
@given(
    st.lists(revocations, max_size=6, unique_by=lambda entry: entry.serial), st.integers(0, NUMBER_MAX - 1)
)
def test_what_is_signed_is_what_was_planned(known: list[Revocation], previous: int) -> None:
    plan = planned(*known, previous=previous)
    found = signed(plan)

    assert found.is_signature_valid(CA_KEY.public_key())
    assert (CA.subject, plan.number) == (found.issuer, list_number(found))
    assert (plan.this_update, plan.next_update) == (found.last_update_utc, found.next_update_utc)
    assert [
        (entry.serial, max(entry.at, CA.not_valid_before_utc).replace(microsecond=0))
        for entry in plan.entries
    ] == [(f"{entry.serial_number:x}", entry.revocation_date_utc) for entry in found]


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_named_but_for_unspecified(reason: str) -> None:
    (entry,) = signed(planned(replace(ENTRY, reason=reason)))
    expected = [] if reason == "unspecified" else [x509.CRLReason(REASONS[reason])]

    assert expected == [extension.value for extension in entry.extensions]


@pytest.mark.parametrize("number", [0, -1, NUMBER_MAX + 1])
def test_a_number_beyond_the_limits_is_refused(number: int) -> None:
    with pytest.raises(ProfileError, match=f"is not number {number}$"):
        lint_list(LIST, replace(PLAN, number=number), issuer=CA)


@pytest.mark.parametrize("number", [0, NUMBER_MAX + 1])
def test_a_list_whose_number_is_beyond_the_limits_is_not_given_out(number: int) -> None:
    with pytest.raises(ProfileError, match=f"is not number {number}$"):
        signed(replace(PLAN, number=number))


def test_a_key_that_is_not_the_issuers_signs_nothing_that_is_given_out() -> None:
    with pytest.raises(ProfileError, match=f"is not signed by {CA_ID}"):
        sign_list(PLAN, issuer=CA, issuer_key=OTHER_KEY)


def test_a_list_of_another_ca_is_refused() -> None:
    with pytest.raises(ProfileError, match=f"is not signed by {CA_ID}"):
        lint_list(sign_list(PLAN, issuer=OTHER_CA, issuer_key=OTHER_KEY), PLAN, issuer=CA)


def test_a_list_that_names_another_ca_is_refused_though_the_key_fits() -> None:
    twin = sign_certificate(
        ROOT_PLAN, public_key=CA_KEY.public_key(), serial=serial_number(9), issuer=None, issuer_key=CA_KEY
    )
    with pytest.raises(ProfileError, match="as its issuer"):
        lint_list(sign_list(PLAN, issuer=twin, issuer_key=CA_KEY), PLAN, issuer=CA)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"number": PLAN.number + 1}, f"is not number {PLAN.number}$"),
        ({"number": PLAN.number - 1}, f"is not number {PLAN.number}$"),
        ({"this_update": PLAN.this_update - MOMENT}, "other dates"),
        ({"next_update": PLAN.next_update + MOMENT}, "other dates"),
        ({"entries": ()}, "other certificates"),
        ({"entries": (replace(ENTRY, serial="ac"),)}, "other certificates"),
        ({"entries": (ENTRY, replace(ENTRY, serial="ac"))}, "other certificates"),
        ({"entries": (ENTRY, ENTRY)}, "other certificates"),
    ],
)
def test_a_list_that_was_not_planned_so_is_refused(changes: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ProfileError, match=refusal):
        lint_list(signed(replace(PLAN, **changes)), PLAN, issuer=CA)


# A root's list is due at half of its life, to which the backdating counts.
@pytest.mark.parametrize(
    ("authority", "at"),
    [(CA_ID, NOW + INTERMEDIATE_LIST_RENEW_AFTER), (ROOT_ID, NOW + ROOT_LIST_RENEW_AFTER - BACKDATE / 2)],
)
def test_a_list_is_due_from_its_age_on_and_where_it_lies_in_the_future(authority: str, at: datetime) -> None:
    begin, end = NOW - BACKDATE, NOW + LIFETIMES[authority]
    found = signed(replace(PLAN, next_update=end))
    moments = [begin - MOMENT, begin, at - MOMENT, at, end]

    assert [True, False, False, True, True] == [list_is_due(found, authority, moment) for moment in moments]


def test_a_list_that_was_cut_short_by_the_end_of_its_ca_is_due_at_half_of_its_life() -> None:
    found = signed(planned(end=NOW + timedelta(hours=1)))
    half = NOW - BACKDATE + (timedelta(hours=1) + BACKDATE) / 2

    assert (False, True) == (list_is_due(found, CA_ID, half - MOMENT), list_is_due(found, CA_ID, half))


def tree_with_list(folder: Path, pem: bytes) -> CertificateTree:
    tree = CertificateTree(folder)
    tree.write_authority(CA_ID, CA.public_bytes(Encoding.PEM), b"sealed", pem)
    return tree


def test_a_list_is_in_force_until_its_end_and_not_at_it(tmp_path: Path) -> None:
    tree = tree_with_list(tmp_path, LIST.public_bytes(Encoding.PEM))
    end = PLAN.next_update

    assert [True, False] == [list_in_force(tree, CA_ID, moment) for moment in (end - MOMENT, end)]


def test_a_torn_or_missing_list_is_due_and_not_in_force(tmp_path: Path) -> None:
    tree = tree_with_list(tmp_path, LIST.public_bytes(Encoding.PEM)[:200])
    state = AuthorityState(DOMAIN, CA_ID, (ROOT_ID,), (CA_ID,))

    assert [ROOT_ID, CA_ID] == lists_due(tree, state, NOW)
    assert [False, False] == [list_in_force(tree, authority, NOW) for authority in (ROOT_ID, CA_ID)]
    with pytest.raises(TreeError, match=f"{CA_ID} holds no revocation list"):
        load_list(b"", CA_ID)


def test_a_revocation_that_is_recorded_twice_counts_from_the_first() -> None:
    head, lines = LedgerHead(), []
    for at, reason in ((NOW, "superseded"), (NOW + MOMENT, "key-compromise")):
        fields = {
            "serial": "ab",
            "issuer": CA_ID,
            "subject": ENTRY.subject,
            "reason": reason,
            "not_after": ENTRY.not_after.isoformat(),
        }
        by = Attribution("uid 0", "test", "none")
        line, head = ledger_line(head, event="revoked", by=by, now=at, fields=fields)
        lines.append(line)

    assert [ENTRY] == recorded_revocations(verify_ledger(lines))


def test_numbers_rise_over_a_prepared_a_torn_and_a_lost_list(tmp_path: Path) -> None:
    tree = tree_with_list(tmp_path, LIST.public_bytes(Encoding.PEM))
    opened = OpenAuthority(CA_ID, CA, CA_KEY)
    signing = RecordedSigning(tree, NOW, None)
    record_revocations(signing, [ENTRY])
    known = recorded_revocations(RecordedSigning(tree, NOW, None).ledger)

    first = sign_next_list(tree, signing, opened, known, NOW)
    tree.write_prepared_list(CA_ID, first)
    second = sign_next_list(tree, signing, opened, known, NOW)
    tree.write_list(CA_ID, second[:100])
    tree.write_prepared_list(CA_ID, b"")
    third = sign_next_list(tree, RecordedSigning(tree, NOW, None), opened, known, NOW)

    found = [load_list(pem, CA_ID) for pem in (first, second, third)]
    assert [PLAN.number + 1, PLAN.number + 2, PLAN.number + 3] == [list_number(entry) for entry in found]
    assert [["ab"]] * 3 == [[f"{entry.serial_number:x}" for entry in entries] for entries in found]
