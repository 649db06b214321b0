"""One set of running consumers for this folder; tests put back what they change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pki.consumers.running_fleet import RunningFleet
from tests.integration.pki_consumers.consumers import Consumers
from tests.integration.pki_consumers.deriving import running_consumers
from tests.integration.pki_consumers.expecting import described
from tests.integration.pki_consumers.node_thread import NodeThread, node_thread


@pytest.fixture(scope="session")
def consumers() -> Iterator[Consumers]:
    with running_consumers() as running:
        yield running


@pytest.fixture(scope="session")
def node(consumers: Consumers) -> Iterator[NodeThread]:
    thread = node_thread(consumers)
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def fleet(consumers: Consumers, node: NodeThread) -> RunningFleet:
    return RunningFleet(described(consumers), consumers.tree.certs)
