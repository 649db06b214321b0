"""Told and looked at: real servers take new generations, and what is not so is named with its reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from pki.consumers.contract import Expectation, Unconfirmed, Use
from pki.consumers.running_fleet import RunningFleet
from tests.integration.pki_consumers.authorities import Authority
from tests.integration.pki_consumers.consumers import Consumers, await_that
from tests.integration.pki_consumers.expecting import LISTENERS, confirmed, uses

REFUSED = {
    "postgres": "SSL configuration was not reloaded",
    "nats": "Failed to reload server configuration",
}
RELOADING = ("gateway-sidecar", "postgres", "redis", "nats")


def test_everything_that_runs_is_confirmed_in_one_look(fleet: RunningFleet, consumers: Consumers) -> None:
    assert [] == fleet.unconfirmed(Expectation(uses(consumers)))


def test_peers_that_a_probe_needs_credentials_of_are_named(fleet: RunningFleet) -> None:
    assert frozenset({"edge", "gateway-sidecar", "payments", "pki"}) == fleet.probed_peers


@pytest.mark.parametrize("name", RELOADING)
def test_a_new_generation_is_served_once_it_was_loaded(
    fleet: RunningFleet, consumers: Consumers, name: str
) -> None:
    before = uses(consumers, name)
    consumers.publish(name)
    expectation = Expectation(uses(consumers, name))

    assert before != expectation.uses
    assert [] == fleet.load([name])
    assert [] == confirmed(fleet, expectation)
    assert [] != fleet.unconfirmed(Expectation(before))


@pytest.mark.parametrize("name", ["postgres", "redis", "nats"])
def test_a_published_generation_that_nobody_loaded_is_not_confirmed(
    fleet: RunningFleet, consumers: Consumers, name: str
) -> None:
    old = uses(consumers, name)[name].serial
    new = consumers.publish(name)

    (fault,) = fleet.unconfirmed(Expectation(uses(consumers, name)))

    assert (name, f"listener {LISTENERS[name][0]}") == (fault.name, fault.place)
    assert f"it serves {old} instead of {new}" == fault.reason
    fleet.load([name])
    assert [] == confirmed(fleet, Expectation(uses(consumers, name)))


def test_a_python_process_is_looked_at_at_its_listener_and_in_its_report(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    before = uses(consumers, "gateway")
    consumers.publish("gateway")

    assert [] == confirmed(fleet, Expectation(uses(consumers, "gateway")))
    faults = fleet.unconfirmed(Expectation(before))
    assert {"listener gateway.app", "report, server", "report, postgres"} == {f.place for f in faults}


@pytest.mark.parametrize("name", RELOADING)
def test_a_pair_that_does_not_match_leaves_the_one_before_it_in_use(
    fleet: RunningFleet, consumers: Consumers, name: str
) -> None:
    old = uses(consumers, name)[name].serial
    new = consumers.publish(name, key=consumers.authority.leaf(name).key)
    told = fleet.load([name])
    # Redis answered the command with its refusal; the others take files in their own time, and say so.
    if name == "gateway-sidecar":
        await_that(lambda: _refusal_is_told(fleet, consumers, name), "Envoy to count the refusal")
    elif name != "redis":
        await_that(lambda: REFUSED[name] in consumers.log(name), "the log to tell the refusal")
    faults = _looked(fleet, consumers, name)

    assert (name == "redis") == bool(told)  # The one server that answers the command with its refusal.
    assert f"it serves {old} instead of {new}" in {fault.reason for fault in faults}
    consumers.publish(name)
    fleet.load([name])
    assert [] == confirmed(fleet, Expectation(uses(consumers, name)))


def _refusal_is_told(fleet: RunningFleet, consumers: Consumers, name: str) -> bool:
    return any("generations were refused" in fault.reason for fault in _looked(fleet, consumers, name))


def _looked(fleet: RunningFleet, consumers: Consumers, name: str) -> list[Unconfirmed]:
    return fleet.unconfirmed(Expectation(uses(consumers, name)))


@pytest.mark.parametrize("name", RELOADING)
def test_a_consumer_that_is_stopped_is_named_and_nothing_is_raised(
    fleet: RunningFleet, consumers: Consumers, name: str
) -> None:
    with stopped(consumers, name):
        faults = fleet.unconfirmed(Expectation(uses(consumers)))
        told = fleet.load([name])

    # The gateway is asked through its sidecar.
    assert ({"gateway"} if name == "gateway-sidecar" else set()) | {name} == {f.name for f in faults}
    assert all(
        any(reason in fault.reason for reason in ("cannot be reached", "does not answer", "was not answered"))
        for fault in faults
    )
    # Envoy is never told anything: nothing there can fail.
    assert (name != "gateway-sidecar") == bool(told)


def test_a_python_process_that_is_stopped_is_named(fleet: RunningFleet, consumers: Consumers) -> None:
    with stopped(consumers, "gateway"):
        faults = fleet.unconfirmed(Expectation(uses(consumers)))

    assert {("gateway", "listener gateway.app"), ("gateway", "report")} == {(f.name, f.place) for f in faults}
    assert "GET /identity was answered with status 503" in {f.reason for f in faults}


@contextmanager
def stopped(consumers: Consumers, name: str) -> Iterator[None]:
    consumers.stop(name)
    try:
        yield
    finally:
        consumers.start(name)


def test_a_workload_that_does_not_run_here_is_named(fleet: RunningFleet) -> None:
    (fault,) = fleet.unconfirmed(Expectation({"reporting": Use("1", "2", "3")}))
    (untold,) = fleet.load(["reporting"])

    assert ("reporting", "deployment") == (fault.name, fault.place)
    assert fault == untold


def test_a_server_below_a_foreign_root_is_not_taken_for_ours(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    stranger = Authority.create()
    serial = consumers.publish("redis", by=stranger, trust=(stranger, consumers.authority))
    told = fleet.load(["redis"])
    consumers.publish("redis")
    (fault,) = fleet.unconfirmed(Expectation({"redis": Use(serial, "", "")}))
    mended = fleet.load(["redis"])

    assert [] == told
    assert "does not verify" in fault.reason
    restarted(fleet, consumers, mended)


def test_a_redis_whose_leaf_has_expired_is_started_again(fleet: RunningFleet, consumers: Consumers) -> None:
    credential = consumers.authority.leaf("redis", age=timedelta(days=8))
    consumers.publish("redis", credential=credential)
    told = fleet.load(["redis"])
    consumers.publish("redis")
    (fault,) = fleet.unconfirmed(Expectation(uses(consumers, "redis")))
    mended = fleet.load(["redis"])

    assert [] == told
    assert "certificate has expired" in fault.reason
    restarted(fleet, consumers, mended)


def restarted(fleet: RunningFleet, consumers: Consumers, told: list[Unconfirmed]) -> None:
    assert [] == told
    assert consumers.running["redis"].wait(10) is not None
    consumers.start("redis")  # What the supervisor does.
    assert [] == confirmed(fleet, Expectation(uses(consumers, "redis")))


def test_a_look_at_everything_is_quick(fleet: RunningFleet, consumers: Consumers) -> None:
    peers = {peer: (consumers.authority.leaf(peer),) for peer in fleet.probed_peers}
    stranger = Authority.create()
    strangers = {peer: (stranger.leaf(peer),) for peer in fleet.probed_peers}
    expectation = Expectation(uses(consumers), accepted=peers, refused=strangers)
    began = time.monotonic()

    assert [] == fleet.unconfirmed(expectation)
    assert time.monotonic() - began < 2.0
