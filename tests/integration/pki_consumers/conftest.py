"""One set of running consumers for this folder; tests put back what they change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pki.consumers.running_fleet import RunningFleet
from tests.integration.pki_consumers.consumers import Consumers
from tests.integration.pki_consumers.deriving import running_consumers
from tests.integration.pki_consumers.expecting import described


@pytest.fixture(scope="session")
def consumers() -> Iterator[Consumers]:
    with running_consumers() as running:
        yield running


@pytest.fixture
def fleet(consumers: Consumers) -> RunningFleet:
    return RunningFleet(described(consumers), consumers.tree.certs)
