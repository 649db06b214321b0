"""A certificate tree of its own, whose ledger is anchored in the evidence log of one test."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pki.anchoring import HeadRecord, anchor_if_running
from pki.authority import IssuingAuthority
from pki.consumers.deployment import Deployment, read_deployment
from pki.identity import TRUST_DOMAIN_DEFAULT
from pki.ledger import Attribution, LedgerHead, ledger_line, split_lines, verify_ledger
from tests.integration.evidence.evidence_stack import LogStack
from tests.integration.postgres_server import KEEPER

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class AnchoredTree:
    """A certificate tree of its own, below the authority that the database trusts, and where the log is."""

    certs: Path
    deployment_file: Path

    @property
    def deployment(self) -> Deployment:
        return read_deployment(self.deployment_file)

    @property
    def ledger(self) -> Path:
        return self.certs / "ledger.jsonl"

    @property
    def head(self) -> LedgerHead:
        return verify_ledger(split_lines(self.ledger.read_bytes())[0]).head

    def record(self) -> HeadRecord:
        return HeadRecord(self.deployment, self.certs)

    def issue(self, *names: str) -> None:
        IssuingAuthority.open(self.certs, KEEPER).issue(names, owners={}, now=datetime.now(UTC))

    async def anchor_now(self) -> str | None:
        return await asyncio.to_thread(anchor_if_running, self.deployment_file, self.certs)

    def cut(self, lines: int) -> None:
        """Remove lines from the end; the chain of what is left verifies."""
        left = self.ledger.read_bytes().splitlines(keepends=True)[:-lines]
        self.ledger.write_bytes(b"".join(left))

    def write_another_story(self, keep: int, lines: int) -> None:
        """Replace all but the first lines by others, in a chain that verifies."""
        kept = split_lines(self.ledger.read_bytes())[0][:keep]
        head, forged = verify_ledger(kept).head, []
        for _ in range(lines):
            by = Attribution("uid 0", "nothing happened", "none")
            line, head = ledger_line(head, event="noted", by=by, now=datetime.now(UTC), fields={})
            forged.append(line)
        self.ledger.write_text("".join(f"{line}\n" for line in [*kept, *forged]))

    async def verify(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pki", "ledger", "verify", "--certs", str(self.certs), *words]
        return await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
        )

    async def verify_with_log(self) -> subprocess.CompletedProcess[str]:
        return await self.verify("--deployment", str(self.deployment_file))


def write_deployment(file: Path, port: int, database: str, trust_domain: str = TRUST_DOMAIN_DEFAULT) -> Path:
    listener = {
        "name": "postgres.tls", "host": "127.0.0.1", "port": port, "protocol": "postgres", "admits": "pki",
    }  # fmt: skip
    consumer = {"name": "postgres", "type": "postgres", "database": database, "listeners": [listener]}
    document = {
        "version": 1, "trust_domain": trust_domain, "connection_age_s_max": 10.0,
        "processes_file": str(file.with_name("processes.json")), "consumers": [consumer],
    }  # fmt: skip
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def tree(log: LogStack, tmp_path: Path) -> AnchoredTree:
    certs = tmp_path / "certs"
    shutil.copytree(log.server.pki.certs, certs, symlinks=True)
    file = write_deployment(tmp_path / "deployment.json", log.server.port, log.database)
    return AnchoredTree(certs, file)


async def statements(log: LogStack) -> list[bytes]:
    rows = await log.world.owner.fetch(
        "select statement from evidence.record where kind = 'ledger-head' order by xid, position"
    )
    return [row["statement"] for row in rows]
