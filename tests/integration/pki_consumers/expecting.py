"""The deployment file of the running consumers, and what a rotation would expect of them."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from cryptography import x509

from pki.consumers.contract import Expectation, Unconfirmed, Use
from pki.consumers.deployment import Deployment, parse_deployment
from pki.consumers.running_fleet import RunningFleet
from tests.integration.pki_consumers.consumers import POLL_S, Consumers

# Workload to what its listener speaks and whom it admits.
LISTENERS = {
    "gateway": ("gateway.app", "http", "gateway-sidecar"),
    "gateway-sidecar": ("gateway.ingress", "http", "edge"),
    "postgres": ("postgres.tls", "postgres", "pki"),
    "redis": ("redis.tls", "redis", "pki"),
    "nats": ("nats.tls", "nats", "payments"),
}
CONFIRMED_S_MAX = 10.0


def described(consumers: Consumers) -> Deployment:
    more: dict[str, dict[str, Any]] = {
        "gateway": {
            "type": "python",
            "account": "cm-gateway",
            "report": {
                "host": "127.0.0.1",
                "port": consumers.port("gateway.ingress"),
                "expect": "gateway-sidecar",
                "path": "/identity",
            },
        },
        "gateway-sidecar": {
            "type": "envoy",
            "admin_socket": str(consumers.places.admin_socket("gateway-sidecar")),
        },
        "postgres": {"type": "postgres", "process": "postgres"},
        "redis": {
            "type": "redis",
            "username": "pki",
            "password_file": str(consumers.places.secrets / "pki" / "redis.password"),
        },
        "nats": {"type": "nats", "process": "nats"},
    }
    entries: list[dict[str, Any]] = [
        {"name": name, "listeners": [_listener(consumers, name)], **fields} for name, fields in more.items()
    ]
    return parse_deployment(
        {
            "version": 1,
            "trust_domain": consumers.mesh.trust_domain,
            "connection_age_s_max": consumers.places.connection_age_s_max,
            "processes_file": str(consumers.processes_file),
            "consumers": [*entries, {"name": "supervisor", "type": "role"}],
        }
    )


def _listener(consumers: Consumers, name: str) -> dict[str, Any]:
    listener, protocol, admits = LISTENERS[name]
    port = consumers.port(listener)
    return {"name": listener, "host": "127.0.0.1", "port": port, "protocol": protocol, "admits": admits}


def use_of(consumers: Consumers, name: str) -> Use:
    """What the current generation says that this workload must use."""
    folder = consumers.tree.identity(name)
    leaf = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    trust, crl = (
        hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in ("trust.pem", "crl.pem")
    )
    return Use(f"{leaf.serial_number:x}", trust, crl)


def uses(consumers: Consumers, *names: str) -> dict[str, Use]:
    return {name: use_of(consumers, name) for name in names or (*LISTENERS, "supervisor")}


def confirmed(fleet: RunningFleet, expectation: Expectation, only: str = "") -> list[Unconfirmed]:
    """Look until all (or one consumer) is as expected, or the time is over; return what is still not."""
    deadline = time.monotonic() + CONFIRMED_S_MAX
    while True:
        left = [fault for fault in fleet.unconfirmed(expectation) if only in ("", fault.name)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_S)
