"""The reviewed policy: who may be given which names, under which account. Deny by default.

`certs/policy.toml` is the one input of issuance that people review. A workload that it does not list gets no
certificate, and names that do not follow from the workload's own name are refused when the file is read. A
broken file lists every fault at once, each with its line. Pure but for reading the two files.
Source: boulder's ceremony, whose one reviewed file is the only input; PCI DSS 8.2.1 for accounts of one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pki.errors import IdentityError, MeshFileError, PolicyError
from pki.identity import dns_name, require_name, require_trust_domain, spiffe_id
from pki.mesh_file import declared_consumers, declared_trust_domain
from pki.policy_text import Fault, PolicyText, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

VERSION: Final = 1
CONSUMERS: Final = ("python", "envoy", "postgres", "redis", "nats", "role")
# useradd ends names at 32 characters.
_ACCOUNT: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_TOP_KEYS: Final = ("version", "trust_domain")
_ENTRY_KEYS: Final = ("spiffe_id", "dns_name", "common_name", "account", "consumer")
# A fault quotes what it found, and a value may be as long as the file.
_SHOWN_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """What one workload may be given.

    Attributes:
        account: the operating-system account that alone may read its key.
        consumer: what uses the certificate, one of `CONSUMERS`.
        line: of its table in the file.
    """

    name: str
    spiffe_id: str
    dns_name: str
    common_name: str
    account: str
    consumer: str
    line: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read and holds.

    Attributes:
        path: the file, as it was named.
        digest: hex SHA-256 of the file's bytes; every line of the ledger carries it.
        workloads: by name, in the order of the file.
        text: where everything stands in the file.
    """

    path: Path
    digest: str
    trust_domain: str
    workloads: Mapping[str, PolicyEntry]
    text: PolicyText = field(repr=False, compare=False)

    def require(self, name: str) -> PolicyEntry:
        """Return what a workload may be given.

        Raises:
            PolicyError: the policy does not list it.
        """
        try:
            return self.workloads[name]
        except KeyError:
            raise PolicyError(
                f"{self.path} lists no workload {_shown(name)}, so it gets no certificate: "
                "declare it in compose/mesh.toml, derive the policy again and have both reviewed"
            ) from None


def read_policy(path: Path, *, mesh_path: Path | None = None) -> Policy:
    """Read and check the policy.

    Args:
        path: usually `certs/policy.toml`.
        mesh_path: compare with this mesh.toml, too, so that one refusal names the faults of both kinds.

    Raises:
        PolicyError: the file cannot be read, or with every fault in it, a line each.
        MeshFileError: mesh.toml cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise PolicyError(
            f"{path} cannot be read ({fault.strerror}): nothing is issued without a reviewed policy; "
            "restore it from the repository"
        ) from fault
    text = locate(data)
    faults = [*text.faults, *(_faults(text) if text.readable else ())]
    if mesh_path is not None and text.readable:
        faults += _mesh_faults(text, mesh_path)
    _require_none(path, faults)
    entries = {
        name: PolicyEntry(name=name, line=table.line, **table.values)
        for name, table in text.workloads.items()
    }
    return Policy(
        path=path,
        digest=hashlib.sha256(data).hexdigest(),
        trust_domain=text.top.values["trust_domain"],
        workloads=MappingProxyType(entries),
        text=text,
    )


def check_against_mesh(policy: Policy, mesh_path: Path) -> None:
    """Compare the policy with the declared mesh: the same workloads, each used by what it is.

    Raises:
        PolicyError: with every difference, a line each.
        MeshFileError: mesh.toml cannot be read.
    """
    _require_none(policy.path, _mesh_faults(policy.text, mesh_path))


def _require_none(path: Path, faults: list[Fault]) -> None:
    if not faults:
        return
    lines = [f"{path}:{fault.line}: {fault.reason}" for fault in sorted(set(faults))]
    count = "a fault" if len(lines) == 1 else f"{len(lines)} faults"
    raise PolicyError("\n  ".join([f"the policy has {count}, so nothing is issued:", *lines]))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}..."


def _faults(text: PolicyText) -> list[Fault]:
    faults = _top_faults(text)
    domain = text.top.values.get("trust_domain")
    for name in text.workloads:
        faults += _entry_faults(text, name, domain if isinstance(domain, str) else None)
    for key in ("account", "spiffe_id", "dns_name", "common_name"):
        faults += _shared(text, key)
    return faults


def _top_faults(text: PolicyText) -> list[Fault]:
    top = text.top
    faults = [
        Fault(line, f"unknown key {key[:_SHOWN_CHARS_MAX]}")
        for key, line in top.lines.items()
        if key not in _TOP_KEYS
    ]
    version, domain = top.values.get("version"), top.values.get("trust_domain")
    if not isinstance(version, int) or isinstance(version, bool) or version != VERSION:
        faults.append(Fault(top.line_of("version"), f"`version = {VERSION}` is required at the top"))
    if not isinstance(domain, str):
        faults.append(Fault(top.line_of("trust_domain"), 'a text `trust_domain = "..."` is required'))
    elif reason := _refusal(lambda: require_trust_domain(domain)):
        faults.append(Fault(top.line_of("trust_domain"), reason))
    if not text.workloads:
        faults.append(Fault(text.line_count, "no workload is listed: add a table [workload.NAME] for each"))
    return faults


def _refusal(check: Callable[[], object]) -> str:
    try:
        check()
    except IdentityError as fault:
        return str(fault)
    return ""


def _entry_faults(text: PolicyText, name: str, domain: str | None) -> list[Fault]:
    table, title = text.workloads[name], f"workload {name[:_SHOWN_CHARS_MAX]}"
    faults = [
        Fault(line, f"{title}: unknown key {key[:_SHOWN_CHARS_MAX]}")
        for key, line in table.lines.items()
        if key not in _ENTRY_KEYS
    ]
    if reason := _refusal(lambda: require_name(name)):
        return [*faults, Fault(table.line, reason)]
    for key in _ENTRY_KEYS:
        value = table.values.get(key)
        if key not in table.values:
            faults.append(Fault(table.line, f"{title}: {key} is missing"))
        elif not isinstance(value, str):
            faults.append(Fault(table.line_of(key), f"{title}: {key} must be a text"))
        elif reason := _value_fault(name, domain, key, value):
            faults.append(Fault(table.line_of(key), f"{title}: {reason}"))
    return faults


def _value_fault(name: str, domain: str | None, key: str, value: str) -> str:
    if key == "consumer":
        return "" if value in CONSUMERS else f"consumer must be one of {', '.join(CONSUMERS)}"
    if key == "account":
        well_formed = _ACCOUNT.fullmatch(value)
        return "" if well_formed else f"{_shown(value)} is no account name of at most 32 characters"
    if key == "common_name":
        return "" if value == name else f"common_name must be {name!r}, not {_shown(value)}"
    if domain is None or _refusal(lambda: require_trust_domain(domain)):
        return ""  # The domain is a fault already; what would follow from a right one is not known.
    wanted = spiffe_id(name, domain) if key == "spiffe_id" else dns_name(name, domain)
    return "" if value == wanted else f"{key} must be {wanted!r}, not {_shown(value)}"


def _shared(text: PolicyText, key: str) -> list[Fault]:
    """What two workloads must not have in common: a key that two can read is nobody's."""
    first: dict[Any, str] = {}
    faults = []
    for name, table in text.workloads.items():
        value = table.values.get(key)
        if isinstance(value, str) and first.setdefault(value, name) != name:
            reason = f"workload {name}: {key} {_shown(value)} is that of {first[value]} already"
            faults.append(Fault(table.line_of(key), reason))
    return faults


def _mesh_faults(text: PolicyText, mesh_path: Path) -> list[Fault]:
    try:
        declared, domain = declared_consumers(mesh_path), declared_trust_domain(mesh_path)
    except IdentityError as fault:
        raise MeshFileError(f"{mesh_path}: {fault}") from fault
    faults = [
        Fault(text.line_count, f"[workload.{name}] is missing: mesh.toml declares it")
        for name in declared
        if name not in text.workloads
    ]
    if text.top.values.get("trust_domain") != domain:
        faults.append(Fault(text.top.line_of("trust_domain"), f"the trust domain of mesh.toml is {domain!r}"))
    for name, table in text.workloads.items():
        consumer = table.values.get("consumer")
        if name not in declared:
            reason = f"workload {name[:_SHOWN_CHARS_MAX]} is not declared in mesh.toml: take it out"
            faults.append(Fault(table.line, reason))
        elif consumer in CONSUMERS and consumer != declared[name]:
            reason = f"workload {name}: consumer is {consumer}, but mesh.toml makes it {declared[name]}"
            faults.append(Fault(table.line_of("consumer"), reason))
    return faults
