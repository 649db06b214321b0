"""Ways to issue leaves, the product's own path, two command lines, the bare primitive; and a long ledger."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.authority import initialise
from pki.authority_making import open_authority
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.durable_files import Disk
from pki.inventory import require_state
from pki.issuing import IssuingAuthority
from pki.ledger import Attribution, LedgerHead, ledger_line
from pki.recorded_signing import RecordedSigning
from pki.seal import ScryptCost

EASY_RSA: Final = Path("/usr/share/easy-rsa/easyrsa")
# One leaf of a batch of 128 takes about a millisecond: four batches outlast what the clock cannot see.
LEAVES_A_TURN: Final = 512
_DOMAIN: Final = "countermark.internal"
_KEEPER: Final = PassphraseKeeper(b"a passphrase of the benchmark", ScryptCost(n=2**14))
_ATTRIBUTION: Final = Attribution("uid 0", "issue --all", "ab" * 32)
# About what a certificate is, to be signed.
_MESSAGE: Final = bytes(400)
_COMMAND_WAIT_S_MAX: Final = 30
# In memory already when openssl runs: it signs and writes the same extensions as ours.
_EXTENSIONS: Final = (
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=serverAuth,clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    f"subjectAltName=URI:spiffe://{_DOMAIN}/NAME,DNS:NAME.{_DOMAIN}\n"
)


class UnsyncedDisk(Disk):
    """Leaves everything to the kernel: for the figure that shows what syncing costs, and nothing else."""

    def settle(self, paths: Sequence[str]) -> None:
        """Return at once."""


@dataclass(slots=True)
class Issuer:
    """One way to issue.

    Attributes:
        name: as shown in the table.
        key: as named in the figures.
        ready: makes everything ready for a turn; what it returns issues a leaf for each name, or raises.
        leaves: how many in one turn.
        turns: leaves per second of wall-clock time and of processor time, for each turn so far.
    """

    name: str
    key: str
    ready: Callable[[], Callable[[list[str]], None]]
    leaves: int
    turns: list[tuple[float, float]] = field(default_factory=list)


def ours(folder: Path, disk: Disk) -> Callable[[list[str]], None]:
    """Return the product's own path, on a new tree."""
    folder = folder / f"{len(list(folder.iterdir()))}" if folder.is_dir() else folder / "0"
    initialise(folder, trust_domain=_DOMAIN, root=_KEEPER, issuing=_KEEPER, now=datetime.now(UTC))
    tree = CertificateTree(folder, disk)
    state = require_state(tree)
    authority = IssuingAuthority(tree, state, open_authority(tree, state.issuer, _KEEPER))

    def issue(names: list[str]) -> None:
        issued = authority.issue(names, owners={}, now=datetime.now(UTC))
        if [leaf.identity.name for leaf in issued] != names:
            raise AssertionError("not every leaf was issued")

    return issue


def primitive(names: list[str]) -> None:
    """Make a key and a signature for each, and nothing else."""
    issuer = ec.generate_private_key(ec.SECP256R1())
    for _ in names:
        ec.generate_private_key(ec.SECP256R1())
        issuer.sign(_MESSAGE, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def openssl(folder: Path) -> Callable[[list[str]], None]:
    """Return a request and a signature by `openssl`, two commands for each leaf."""
    folder.mkdir()
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    _run(folder, f"openssl req -x509 {new_key} -keyout ca.key -out ca.pem -days 30 -subj /CN=ca")

    def issue(names: list[str]) -> None:
        for name in names:
            (folder / f"{name}.ext").write_text(_EXTENSIONS.replace("NAME", name), encoding="ascii")
            _run(folder, f"openssl req -new {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}")
            _run(
                folder,
                f"openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -out {name}.pem -days 7 "
                f"-extfile {name}.ext",
            )

    return issue


def easy_rsa(folder: Path) -> Callable[[list[str]], None]:
    """Return `easyrsa build-server-full`, one command for each leaf."""
    folder.mkdir()
    command = f"{EASY_RSA} --batch --use-algo=ec --curve=prime256v1 --pki-dir={folder}/pki"
    _run(folder, f"{command} init-pki")
    _run(folder, f"{command} build-ca nopass")

    def issue(names: list[str]) -> None:
        for name in names:
            _run(folder, f"{command} build-server-full {name} nopass")

    return issue


def write_ledger(folder: Path, lines: int) -> CertificateTree:
    """Write a tree whose ledger has this many lines, an intent and a result for each leaf."""
    now = datetime.now(UTC)
    head, written = LedgerHead(), []
    for number in range(lines // 2):
        serial = f"{(1 << 158) + number:x}"
        intent: dict[str, str | int] = {
            "serial": serial,
            "role": "leaf",
            "subject": f"spiffe://{_DOMAIN}/workload-{number}",
            "spki_sha256": f"{number:064x}",
            "issuer_spki_sha256": "cd" * 32,
            "not_before": now.isoformat(),
            "not_after": now.isoformat(),
        }
        result: dict[str, str | int] = {"serial": serial, "certificate_sha256": f"{number:064x}"}
        for event, fields in (("intent", intent), ("issued", result)):
            line, head = ledger_line(head, event=event, by=_ATTRIBUTION, now=now, fields=fields)
            written.append(line + "\n")
    folder.mkdir(mode=0o700)
    (folder / "ledger.jsonl").write_text("".join(written), encoding="ascii")
    return CertificateTree(folder)


def open_ledger(tree: CertificateTree) -> int:
    """Open a ledger as every command that signs does; return how many certificates it knows."""
    return len(RecordedSigning(tree, datetime.now(UTC), _ATTRIBUTION).ledger.issued)


def _run(folder: Path, command: str) -> None:
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder)}
    subprocess.run(
        command.split(),
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        timeout=_COMMAND_WAIT_S_MAX,
    )
