"""Consumer by wrong thing, on real servers: each cell between two good connections to the same listener."""

from __future__ import annotations

import pytest

from pki.consumers.contract import Expectation
from pki.consumers.running_fleet import RunningFleet
from tests.integration.pki_consumers.attempts import Answered, Clients, attempt
from tests.integration.pki_consumers.authorities import Authority
from tests.integration.pki_consumers.consumers import Consumers
from tests.integration.pki_consumers.expecting import LISTENERS, confirmed, uses
from tests.integration.pki_consumers.matrix import README, SERVERS, WRONG, cell, table

RESUMPTION = WRONG[-1]


@pytest.fixture(scope="module")
def other() -> Authority:
    return Authority.create(trust_domain="other.internal")


@pytest.fixture(scope="module")
def twin() -> Authority:
    return Authority.create()


@pytest.mark.parametrize("wrong", WRONG[:-1])
@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_is_wrong_gets_nothing_but_what_the_matrix_says(
    consumers: Consumers, other: Authority, twin: Authority, server: str, wrong: str
) -> None:
    name, good = SERVERS[server]
    clients = Clients(consumers, name, other, twin)
    before = attempt(consumers, name, clients.good())
    answered = attempt(consumers, name, clients.wrong(wrong))
    after = attempt(consumers, name, clients.good())
    expected = cell(server, wrong)

    assert [good, good] == [a.content[: len(good)] for a in (before, after)]
    assert_like(expected.begins, expected.holds, answered)
    # The client's side of the handshake ends before it was judged: a version is refused in it, nobody else.
    assert (wrong not in ("TLS 1.2", "plaintext")) == answered.handshake


def assert_like(begins: bytes, holds: bytes, answered: Answered) -> None:
    if begins == b"":
        assert b"" == answered.content
    assert answered.content.startswith(begins)
    assert holds in answered.content


@pytest.mark.parametrize("server", SERVERS)
def test_a_session_of_before_does_not_outlive_the_root_it_was_opened_under(
    fleet: RunningFleet,
    consumers: Consumers,
    other: Authority,
    twin: Authority,
    server: str,
) -> None:
    name, good = SERVERS[server]
    clients = Clients(consumers, name, other, twin)
    take(fleet, consumers, name, consumers.authority, twin)
    leaf = twin.leaf(clients.peer)
    context = clients.context(leaf)
    while_trusted = attempt(consumers, name, context)
    take(fleet, consumers, name, consumers.authority)
    # Fresh first: the root is gone for whoever has no session.
    gone = Expectation(
        uses(consumers, name),
        accepted={clients.peer: (consumers.authority.leaf(clients.peer),)},
        refused={clients.peer: (leaf,)},
    )
    left = confirmed(fleet, gone, name)
    resumed = attempt(consumers, name, context, while_trusted.session)
    after = attempt(consumers, name, clients.good())

    assert [] == left
    assert [good, good] == [a.content[: len(good)] for a in (while_trusted, after)]
    assert not resumed.reused
    assert b"" == resumed.content


def take(fleet: RunningFleet, consumers: Consumers, name: str, *trust: Authority) -> None:
    consumers.publish(name, trust=trust)
    assert [] == fleet.load([name])
    peer = LISTENERS[name][2]
    leaves = tuple(authority.leaf(peer) for authority in trust)
    # Others that admit this peer have not changed their trust.
    assert [] == confirmed(fleet, Expectation(uses(consumers, name), accepted={peer: leaves}), name)


def test_the_table_for_people_is_what_the_tests_hold() -> None:
    assert table() in README.read_text(encoding="utf-8")
