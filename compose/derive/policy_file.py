"""The policy that fits the declared mesh, for review and commit as certs/policy.toml (pure)."""

from __future__ import annotations

from compose.mesh import Mesh, Service

ACCOUNT_PREFIX = "cm-"  # Keeps the accounts apart from everything a distribution ships.
_CONSUMERS = {
    "edge": "envoy", "python": "python", "party": "python", "postgres": "postgres", "redis": "redis",
    "nats": "nats", "role": "role",
}  # fmt: skip
_HEAD = """\
# Who may be given a certificate, with which names, readable by which account: the one input of issuance
# that people review. What is not listed here gets nothing, and every line of the ledger carries this
# file's SHA-256.
#
# Made by `python -m compose.derive policy > certs/policy.toml`; `--check` tells whether it still fits
# compose/mesh.toml. A change here is a change of who may be whom. For a reviewer:
#
#   spiffe_id    what peers compare: spiffe://<trust domain>/<workload>, nothing else is accepted
#   dns_name     what clients ask for: <workload>.<trust domain>
#   common_name  what PostgreSQL maps to a role: the workload
#   account      the operating-system account that alone may read the key; never one for two workloads
#   consumer     what holds the key (python, envoy, postgres, redis, nats), and so how it takes a new one;
#                role: people and jobs, who read it for each use
"""


def policy_text(mesh: Mesh) -> str:
    """The file as it is committed."""
    tables = [f"{_HEAD}\nversion = 1\ntrust_domain = {_quoted(mesh.trust_domain)}\n"]
    for service in mesh.services.values():
        tables.append(_table(mesh, service.name, consumer_kind(service), service.purpose))
        if service.sidecar:
            purpose = f"stands in front of {service.name} and carries its calls"
            tables.append(_table(mesh, service.sidecar_name, "envoy", purpose))
    return "\n".join(tables)


def consumer_kind(service: Service) -> str:
    """What holds a service's certificate."""
    return _CONSUMERS[service.kind]


def account_name(workload: str) -> str:
    """The account of a workload where each has its own."""
    return ACCOUNT_PREFIX + workload


def _table(mesh: Mesh, name: str, consumer: str, purpose: str) -> str:
    return (
        f"# {purpose}\n"
        f"[workload.{name}]\n"
        f"spiffe_id = {_quoted(mesh.spiffe(name))}\n"
        f"dns_name = {_quoted(mesh.dns(name))}\n"
        f"common_name = {_quoted(name)}\n"
        f"account = {_quoted(account_name(name))}\n"
        f"consumer = {_quoted(consumer)}\n"
    )


def _quoted(text: str) -> str:
    """Names of our form need no escape."""
    return f'"{text}"'
