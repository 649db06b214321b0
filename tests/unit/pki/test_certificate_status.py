"""Verdicts follow a certificate's age and faults, and the gravest of them is the exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki.identity import WorkloadIdentity
from pki.inventory import AuthorityRecord, Inventory, LeafRecord
from pki.issuance import plan_intermediate, plan_leaf, plan_root, serial_number, sign_certificate
from pki.ledger import LedgerHead, VerifiedLedger
from pki.status import Level, judge, leaf_verdict, left_percent, worst

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOMAIN = "countermark.internal"
KEY = ec.derive_private_key(2, ec.SECP256R1())
ROOT_PLAN = plan_root(DOMAIN, NOW)
ROOT = sign_certificate(
    ROOT_PLAN, public_key=KEY.public_key(), serial=serial_number(1), issuer=None, issuer_key=KEY
)
CA = sign_certificate(
    plan_intermediate(DOMAIN, ROOT_PLAN, NOW),
    public_key=KEY.public_key(),
    serial=serial_number(2),
    issuer=ROOT,
    issuer_key=KEY,
)
LEAF = sign_certificate(
    plan_leaf(WorkloadIdentity(DOMAIN, "gateway"), CA, NOW),
    public_key=KEY.public_key(),
    serial=serial_number(3),
    issuer=CA,
    issuer_key=KEY,
)
ISSUED = frozenset(f"{certificate.serial_number:x}" for certificate in (ROOT, CA, LEAF))
LEDGER = VerifiedLedger(LedgerHead(6, "ab" * 32), ISSUED, ())


def authority(name: str, certificate: x509.Certificate, *, trusted: bool) -> AuthorityRecord:
    return AuthorityRecord(name, certificate, trusted=trusted, issuing=not trusted, listed=False, crl=None)


def inventory(
    certificate: x509.Certificate | None = LEAF,
    faults: tuple[str, ...] = (),
    ledger: VerifiedLedger | str = LEDGER,
) -> Inventory:
    return Inventory(
        DOMAIN,
        (
            authority("intermediate-20260301-00000000", CA, trusted=False),
            authority("root-20260301-00000000", ROOT, trusted=True),
        ),
        (LeafRecord("gateway", certificate, faults),),
        ledger,
        None,
    )


@pytest.mark.parametrize(
    ("age", "level"),
    [
        (timedelta(minutes=-6), Level.CRITICAL),
        (timedelta(0), Level.FINE),
        (timedelta(days=3, hours=11), Level.FINE),
        (timedelta(days=3, hours=12), Level.DUE),
        (timedelta(days=5, hours=19), Level.DUE),
        (timedelta(days=5, hours=21), Level.CRITICAL),
        (timedelta(days=7), Level.CRITICAL),
    ],
)
def test_a_leaf_is_due_at_half_its_life_and_critical_with_a_sixth_left(age: timedelta, level: Level) -> None:
    assert level == leaf_verdict(LeafRecord("gateway", LEAF, ()), NOW + age)[0]


@pytest.mark.parametrize(
    ("age", "what"),
    [(timedelta(days=91), "intermediate-20260301-00000000"), (timedelta(days=366), "root-20260301-00000000")],
)
def test_a_ca_is_due_by_its_own_profile(age: timedelta, what: str) -> None:
    lines = {line.what: line for line in judge(inventory(), NOW + age)}

    assert lines[what].level is not Level.FINE
    assert "replacement" in lines[what].advice


def test_when_all_is_well_nothing_is_advised() -> None:
    lines = judge(inventory(), NOW)

    assert worst(lines) == Level.FINE
    assert {""} == {line.advice for line in lines}


def test_a_fault_is_critical_whatever_the_age() -> None:
    lines = judge(inventory(faults=("key and certificate do not match",)), NOW)

    assert worst(lines) == Level.CRITICAL
    assert lines[-1].advice == "key and certificate do not match: run `python -m pki issue gateway`"


def test_a_workload_without_a_certificate_is_critical() -> None:
    assert worst(judge(inventory(None, ("there is no certificate yet",)), NOW)) == Level.CRITICAL


def test_a_serial_that_the_ledger_does_not_know_is_critical() -> None:
    lines = judge(inventory(ledger=VerifiedLedger(LedgerHead(), frozenset(), ())), NOW)

    assert lines[-1].level == Level.CRITICAL
    assert "not in the ledger" in lines[-1].advice


def test_a_broken_ledger_is_critical() -> None:
    assert worst(judge(inventory(ledger="line 3 does not match its digest"), NOW)) == Level.CRITICAL


def test_an_interrupted_issuance_is_shown() -> None:
    lines = judge(inventory(ledger=VerifiedLedger(LedgerHead(7, "0" * 64), ISSUED, (7,))), NOW)

    assert "line 7" in [line.what for line in lines]


def test_nothing_at_all_is_fine() -> None:
    assert worst([]) == Level.FINE


@pytest.mark.parametrize(("age", "left"), [(-1, 100), (0, 99), (3.5, 49), (7, 0), (8, 0)])
def test_the_life_left_is_rounded_down(age: float, left: int) -> None:
    assert left == left_percent(LEAF, NOW + timedelta(days=age))
