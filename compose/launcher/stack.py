"""The whole stack of one machine: made ready step by step, and taken down again.

Steps: lock → end what an earlier run left → accounts → ports → certificates and secrets → configuration →
database cluster → processes → schemas → ready. Each step is safe to repeat; a start after a crash is a start.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from compose.derive.places import Limits, Places
from compose.launcher.accounts import Account, account_for
from compose.launcher.certificate_daemon import certificate_daemon
from compose.launcher.configuration import (
    CONNECTION_AGE_S_MAX,
    places_on_this_machine,
    write_configuration,
)
from compose.launcher.credentials import provide_certificates, provide_secrets
from compose.launcher.databases import migrate_schemas, prepare_cluster
from compose.launcher.errors import EXIT_FAILED, StartError
from compose.launcher.layout import Layout, own_folder, prepare, require_short
from compose.launcher.orphans import end_orphans
from compose.launcher.ports import LOOPBACK, PortReservation, earlier_ports
from compose.launcher.proc import memory_bytes, with_descendants
from compose.launcher.process_spec import plan_processes
from compose.launcher.release import Release, checkout_root, find_release
from compose.launcher.supervisor import Supervisor
from compose.mesh import Mesh, read_mesh

DEMO_MERCHANT = "demo-merchant"  # An account for the merchant's side; it has no certificate of the mesh.
RECEIVER = "demo.webhooks"  # The merchant's webhook receiver; not a listener of the mesh.
REDIS_PROGRAM = Path("/usr/bin/redis-check-rdb")  # Debian ships server and checker as one binary.
MIGRATE_S_MAX = 60.0  # A cold first start creates every table.

Report = Callable[[str, str], None]


@dataclass(frozen=True)
class StackOptions:
    """What a person may choose.

    Attributes:
        data: The data directory.
        edge_port: Port for merchants, 0 for one from the kernel.
        connection_age_s_max: How old a connection may become; the benchmarks take a real cell's.
        limits: How often who may ask; what drives harder than any merchant raises them.
    """

    data: Path
    edge_port: int = 0
    connection_age_s_max: float = CONNECTION_AGE_S_MAX
    limits: Limits = field(default_factory=Limits)


class Stack:
    """One running stack; made by `start`, ended by `stop`."""

    def __init__(self, mesh: Mesh, layout: Layout, report: Report) -> None:
        self.mesh = mesh
        self.layout = layout
        self.accounts: dict[str, Account] = {}
        self.ports: dict[str, int] = {}
        self.places: Places
        self.release: Release
        self.supervisor = Supervisor(layout, report)
        self._report = report
        self._reservation = PortReservation()
        self._lock: int | None = None

    @classmethod
    async def start(cls, options: StackOptions, report: Report) -> Stack:
        """Bring everything up and return when each process is ready.

        Raises:
            StartError: A step failed; nothing is left running.
        """
        stack = cls(
            read_mesh(checkout_root() / "compose" / "mesh.toml"), Layout(options.data.resolve()), report
        )
        try:
            await stack._start(options)
        except BaseException:
            await stack.stop()
            raise
        return stack

    async def _start(self, options: StackOptions) -> None:
        os.umask(0o022)
        require_short(self.layout, self.mesh.envoys())
        self._lock = prepare(self.layout)
        for name in end_orphans(self.layout):
            self._report(name, "of an earlier run was ended")
        self.accounts = {name: account_for(name) for name in [*self.mesh.workloads(), DEMO_MERCHANT]}
        self._require_entry()
        self._reserve_ports(options.edge_port)
        issued = provide_certificates(self.mesh, self.layout, self.accounts)
        self._report("certificates", f"issued {len(issued)}" if issued else "are in force")
        passwords = provide_secrets(self.mesh, self.layout, self.accounts)
        self.release = find_release(self.layout.root)
        receiver = f"{LOOPBACK}:{self.ports[RECEIVER]}"
        trust = self.layout.run / "notifications" / "webhook-trust.pem"
        self.places = places_on_this_machine(
            self.mesh,
            self.layout,
            self.ports,
            (receiver, str(trust)),
            connection_age_s_max=options.connection_age_s_max,
            limits=options.limits,
        )
        self._prepare_receiver(trust)
        write_configuration(self.mesh, self.layout, self.places, self.accounts, passwords)
        self._link_redis()
        await self._run_processes()

    async def _run_processes(self) -> None:
        mesh = plan_processes(self.mesh, self.places, self.release, self.accounts)
        names = [spec.name for spec in mesh]
        policy = checkout_root() / "certs" / "policy.toml"
        daemon = certificate_daemon(self.layout, self.release, policy, after=tuple(names))
        self.supervisor.start([*mesh, daemon])
        await asyncio.to_thread(
            prepare_cluster, self.mesh, self.layout.state / "postgres", self.accounts["postgres"]
        )
        self.supervisor.milestone("cluster")
        await self.supervisor.wait_ready(["postgres"])
        try:
            async with asyncio.timeout(MIGRATE_S_MAX):
                ran = await migrate_schemas(self.mesh, self.places, checkout_root())
        except TimeoutError as fault:
            raise StartError("PostgreSQL does not answer: see log/postgres.log", EXIT_FAILED) from fault
        self._report("schemas", f"{len(ran)} migrations ran" if ran else "are up to date")
        self.supervisor.milestone("schemas")
        await self.supervisor.wait_ready(names)  # Nobody who pays waits for the daemon's first pass.

    def _require_entry(self) -> None:
        """As root, the services' own accounts must be able to reach the data directory."""
        if os.geteuid() != 0:
            return
        closed = [p for p in (self.layout.root, *self.layout.root.parents) if not p.stat().st_mode & 0o001]
        if closed:
            raise StartError(
                f"{closed[-1]} keeps other accounts out, and each service runs as its own account: "
                "choose another place with --data-dir, such as one below /var/lib"
            )

    def _reserve_ports(self, edge_port: int) -> None:
        earlier = earlier_ports(self.layout.addresses_file)
        for name in [*self.mesh.listener_names(), RECEIVER]:
            strict = name == "edge.public" and edge_port != 0
            wanted = edge_port if strict else earlier.get(name, 0)
            self.ports[name] = self._reservation.reserve(name, wanted=wanted, strict=strict)

    def _prepare_receiver(self, trust: Path) -> None:
        """Make the demonstration merchant's own TLS certificate; notifications must know its authority."""
        from compose.demo.receiver_certificate import provide_receiver_certificate  # noqa: PLC0415 - demo only.

        account = self.accounts[DEMO_MERCHANT]
        folder = self.layout.state / DEMO_MERCHANT
        own_folder(folder, account, writable=True)
        own_folder(trust.parent, self.accounts["notifications"], writable=False)
        provide_receiver_certificate(folder, account, trust, self.accounts["notifications"])

    def _link_redis(self) -> None:
        """The binary acts as the server when it is called by the server's name."""
        program = shutil.which("redis-server") or (str(REDIS_PROGRAM) if REDIS_PROGRAM.exists() else None)
        if program is None:
            raise StartError("Redis is missing: run 'apt-get install redis-tools' as root")
        link = self.layout.run / "redis" / "redis-server"
        link.unlink(missing_ok=True)
        link.symlink_to(program)

    def memory_by_process(self) -> dict[str, int]:
        """Proportional set size in bytes of each process with its children, and of the supervisor itself."""
        sizes = {
            name: sum(memory_bytes(child) for child in with_descendants(pid))
            for name, pid in self.supervisor.pids().items()
        }
        return {**sizes, "supervisor": memory_bytes(os.getpid())}

    async def stop(self) -> None:
        """End every process that was started here and give everything back."""
        await self.supervisor.stop()
        self._reservation.close()
        if self._lock is not None:
            self.layout.processes_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
