"""The mapping names real requirements only, never claims compliance, and leaves no fact without one."""

from __future__ import annotations

from pki.compliance import (
    NOT_SHOWN_HERE,
    REQUIREMENTS,
    SCOPE,
    STANDARD,
    Fact,
    evidence_for,
    facts_for,
    in_order,
    keeping,
)

NUMBERS = [requirement.number for requirement in REQUIREMENTS]
# Read in the standard as it is quoted in public; what is not among these is not to be named.
READ = {
    "2.2.7",
    "3.6.1", "3.6.1.1", "3.6.1.2", "3.6.1.3", "3.6.1.4",
    "3.7.1", "3.7.2", "3.7.3", "3.7.4", "3.7.5", "3.7.6", "3.7.7", "3.7.8",
    "4.2.1", "4.2.1.1",
    "8.2.1", "8.2.2", "8.3.2", "8.3.11", "8.6.1", "8.6.2", "8.6.3",
    "10.2.1.2", "10.2.1.5", "10.2.1.6", "10.2.1.7", "10.2.2",
    "10.3.1", "10.3.2", "10.3.3", "10.3.4", "10.4.1.1", "10.5.1", "10.7.2", "10.7.3",
    "11.5.2",
    "12.3.1", "12.3.3", "12.10.1", "12.10.5", "12.10.7",
}  # fmt: skip


def test_only_numbers_that_were_read_are_named() -> None:
    assert set() == {*NUMBERS, *(number for number, _ in NOT_SHOWN_HERE)} - READ


def test_wireless_messaging_and_intrusion_detection_are_not_claimed() -> None:
    assert set() == set(NUMBERS) & {"4.2.1.2", "4.2.2", "6.4.2", "11.5.1"}


def test_every_fact_is_evidence_for_a_requirement_in_the_table() -> None:
    assert all(evidence_for([fact]) for fact in Fact)
    assert set(NUMBERS) == set(evidence_for(Fact))


def test_every_requirement_in_the_table_has_a_fact() -> None:
    assert [] == [number for number in NUMBERS if not facts_for(number)]


def test_what_is_not_shown_here_is_not_claimed_either() -> None:
    assert set() == set(NUMBERS) & {number for number, _ in NOT_SHOWN_HERE}


def test_the_scope_is_honest_about_4_2_1() -> None:
    text = " ".join(SCOPE)

    assert "4.2.1 literally covers PAN over open, public networks" in text
    assert "Evidence for, never proof of compliance" in text
    assert "PCI DSS 4.0.1" == STANDARD


def test_nothing_says_compliant() -> None:
    sentences = [*SCOPE, *(fact.value for fact in Fact), *(requirement.asks for requirement in REQUIREMENTS)]

    assert [] == [sentence for sentence in sentences if "compliant" in sentence.lower()]


def test_numbers_are_in_the_order_of_the_standard() -> None:
    assert ("3.6.1", "3.6.1.2", "4.2.1", "10.2.2") == in_order(
        ["10.2.2", "4.2.1", "3.6.1.2", "3.6.1", "4.2.1"]
    )
    assert tuple(NUMBERS) == in_order(NUMBERS)


def test_the_cryptoperiods_are_those_of_the_profiles() -> None:
    assert [
        ("root", "5 years", "365 days"),
        ("intermediate", "180 days", "90 days"),
        ("leaf", "7 days", "3.5 days"),
    ] == [(entry.kind, entry.lives, entry.due) for entry in keeping()[:3]]
