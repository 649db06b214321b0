"""What each service counts, as Prometheus reads it: as the supervisor, through a sidecar, over mutual TLS."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from compose.launcher.mesh_request import get_as_supervisor
from compose.launcher.stack import Stack
from pki.tls import client_context

COUNTING = ("gateway", "payments", "banks", "fraud", "vault", "evidence")
LIBRARYS = ("process", "python")  # What the client library tells of every process.


@pytest.mark.parametrize("name", COUNTING)
async def test_prometheus_reads_the_figures_of_each_service(stack: Stack, name: str) -> None:
    service = stack.mesh.services[name]
    page = await get_as_supervisor(
        stack.mesh, stack.places, f"{name}.ingress", service.sidecar_name, "/metrics"
    )

    families = list(text_string_to_metric_families(page.decode()))

    assert {name} < {family.name.partition("_")[0] for family in families} <= {name, *LIBRARYS}
    assert "process_cpu_seconds" in {family.name for family in families}
    assert not [family.name for family in families if not family.documentation]


@pytest.mark.parametrize("caller", ["edge", "payments-sidecar", "bank-alpha"])
async def test_no_other_workload_is_told_them(stack: Stack, caller: str) -> None:
    address = stack.places.addresses["gateway.ingress"]
    expect = frozenset({stack.mesh.spiffe("gateway-sidecar")})
    connector = aiohttp.TCPConnector(ssl=client_context(stack.places.identity(caller), expect=expect))
    url = f"https://{address.host}:{address.port}/metrics"
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            async with session.get(url) as answer:
                assert 403 == answer.status
        except aiohttp.ClientError:
            assert caller != "edge"  # Who calls the gateway in nothing is refused in the handshake.
