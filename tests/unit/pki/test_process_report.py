"""What a process reports of itself: what is read from it, and what counts as no report."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pki.consumers.consumer_looks import OpenConnections
from pki.consumers.issuers import Issuers
from pki.consumers.python_process import Loaded, OpenPeer, parse_report

REPORT: dict[str, Any] = {
    "name": "payments",
    "generation": "gen-0007",
    "server": {
        "serial": "a1", "trust_sha256": "b1", "crl_sha256": "c1", "open": 3, "oldest_age_s": 4.2,
        "peers": [
            {"spiffe_id": "spiffe://x.internal/y", "serial": "d1", "issuer_key_id": "e1", "open": 2},
            {"spiffe_id": "spiffe://x.internal/z", "serial": "d2", "issuer_key_id": "e1", "open": 0},
        ],
    },
    "clients": [
        {
            "name": "postgres", "serial": "a1", "trust_sha256": "b1", "crl_sha256": "", "open": 2,
            "oldest_age_s": 3.1, "serials_open": {"a0": 2, "a1": 0},
        },
    ],
}  # fmt: skip
NOBODY = Issuers(frozenset(), frozenset())


def test_server_and_clients_are_read_alike_and_closed_connections_do_not_count() -> None:
    report = parse_report(REPORT)

    assert (Loaded("server", "a1", "b1", "c1"), Loaded("postgres", "a1", "b1", "")) == report.loaded
    assert (OpenPeer("server", "d1", "e1", 2), OpenPeer("postgres", "a0", "", 2)) == report.open


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no server": lambda r: r.pop("server"),
    "no clients": lambda r: r.pop("clients"),
    "clients that are a number": lambda r: r.update(clients=1),
    "a serial that is no number": lambda r: r["server"].update(serial="xyz"),
    "a serial that is null": lambda r: r["server"].update(serial=None),
    "no digest": lambda r: r["clients"][0].pop("trust_sha256"),
    "peers that cannot be counted": lambda r: r["server"]["peers"][0].update(open="many"),
    "serials in a list": lambda r: r["clients"][0].update(serials_open=["a0"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_form_is_no_report(change: Callable[[dict[str, Any]], object]) -> None:
    report = copy.deepcopy(REPORT)
    change(report)

    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse_report(report)


def test_open_connections_count_by_leaf_by_issuer_and_by_not_being_the_leaf_in_use() -> None:
    server, old_client = OpenPeer("server", "d1", "e1", 2), OpenPeer("postgres", "a0", "", 2)
    everyone = (server, old_client, OpenPeer("postgres", "a1", "", 2))

    def counted(serials: set[str], issuers: set[str]) -> list[OpenPeer]:
        opened = OpenConnections(frozenset(serials), Issuers(frozenset(issuers), frozenset()))
        return [peer for peer in everyone if opened.include(peer, "a1")]

    assert [server] == counted({"d1"}, set())
    assert [old_client] == counted({"a0"}, set())
    assert [server, old_client] == counted(set(), {"e1"})
    # Who issued the leaf that a client dialled with is not known: under any retired issuer it must be gone.
    assert [old_client] == counted(set(), {"e2"})
    assert [] == counted(set(), set())
    assert not OpenConnections(frozenset(), NOBODY).asked
