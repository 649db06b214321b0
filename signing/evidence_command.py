"""The command `evidence`: verify a bundle, print what the shell script in it must be given.

Files and printing around the pure package `evidence`. A folder is read as strictly as an
archive: regular files, one folder deep, and nothing else.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .arguments import JSON
from .evidence.archive import ARCHIVE_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, unpack
from .evidence.errors import FilesDiffer, TrustMalformed
from .evidence.script import SCRIPT_SHA256
from .evidence.trust import TRUST_BYTES_MAX, TrustedKeys, fingerprint, parse_trust
from .evidence.verification import verify_bundle
from .terminal import print_json, say

if TYPE_CHECKING:
    import argparse

    from .arguments import AddCommand

_DEPTH_MAX: Final = 2  # a file, or a file in a folder
_TRUST_HELP: Final = "PEM public keys below lines `# gateway`, `# log NAME`, `# witness NAME`"


def add_evidence(add: AddCommand) -> None:
    """Add `evidence`."""
    text = "verify evidence offline: payment, receipt, place in the log"
    evidence = add("evidence", text, verify, has_json=False)
    actions = evidence.add_subparsers(title="actions", metavar="ACTION", required=True)

    text = "verify a bundle; print what is proven and what is not"
    parser = actions.add_parser("verify", help=text, description=text, allow_abbrev=False)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the .tar.gz, or the folder in it")
    parser.add_argument("--trust", type=Path, required=True, metavar="KEYS.pem", help=_TRUST_HELP)
    parser.add_argument("--json", action="store_true", help=JSON)
    parser.set_defaults(run=verify)

    text = "print the arguments of verify.sh for these trusted keys"
    parser = actions.add_parser("fingerprints", help=text, description=text, allow_abbrev=False)
    parser.add_argument("--trust", type=Path, required=True, metavar="KEYS.pem", help=_TRUST_HELP)
    parser.add_argument("--json", action="store_true", help=JSON)
    parser.set_defaults(run=fingerprints)

    text = "print the SHA-256 of the verify.sh that bundles of this version hold"
    parser = actions.add_parser("script-hash", help=text, description=text, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help=JSON)
    parser.set_defaults(run=script_hash)


def verify(options: argparse.Namespace) -> int:
    """Verify a bundle; print its findings."""
    trust = _read_trust(options.trust)
    files = read_folder(options.bundle) if options.bundle.is_dir() else unpack(_read_archive(options.bundle))
    bundle = verify_bundle(files, trust)
    if options.json:
        document = {
            "subject": bundle.subject,
            "merchant_id": bundle.merchant_id,
            "key_id": bundle.key_id,
            "findings": [
                {"proven": finding.proven, "what": finding.what, "by": finding.by, "at": finding.at}
                for finding in bundle.findings
            ],
        }
        print_json(document)
    else:
        print("\n".join(map(str, bundle.findings)))
    say(f"verified: {bundle.subject} of {bundle.merchant_id}")
    return 0


def fingerprints(options: argparse.Namespace) -> int:
    """Print what `sh verify.sh` must be given to trust the same keys."""
    arguments = script_arguments(_read_trust(options.trust))
    if options.json:
        print_json({"arguments": arguments})
    else:
        print(" ".join(arguments))
    return 0


def script_hash(options: argparse.Namespace) -> int:
    """Print the hash of the shipped script."""
    if options.json:
        print_json({"sha256": SCRIPT_SHA256})
    else:
        print(SCRIPT_SHA256)
    return 0


def script_arguments(trust: TrustedKeys) -> list[str]:
    """Return what `verify.sh` takes: fingerprints of gateways, of logs, then of each witness.

    Raises:
        TrustMalformed: there is no gateway or no log among the keys.
    """
    if not trust.gateways or not trust.logs:
        raise TrustMalformed("verify.sh needs the key of a gateway and of a log, and the file lacks one")
    return [
        ",".join(map(fingerprint, trust.gateways)),
        ",".join(fingerprint(named.key) for named in trust.logs),
        *(fingerprint(named.key) for named in trust.witnesses),
    ]


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a bundle that was unpacked, by path below its folder.

    Raises:
        FilesDiffer: something that is no regular file, is too large, or lies too deep.
        OSError: a file cannot be read.
    """
    files: dict[str, bytes] = {}
    pending = sorted(folder.iterdir())
    while pending:
        path = pending.pop()
        name = path.relative_to(folder)
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and len(name.parts) < _DEPTH_MAX:
            pending += sorted(path.iterdir())
        elif not stat.S_ISREG(mode) or len(files) == FILES_MAX:
            raise FilesDiffer(f"{str(name)!a} is no regular file, or one too many or too deep")
        else:
            with path.open("rb") as stream:
                files[name.as_posix()] = stream.read(FILE_BYTES_MAX + 1)
            if len(files[name.as_posix()]) > FILE_BYTES_MAX:
                raise FilesDiffer(f"{str(name)!a} has more than {FILE_BYTES_MAX} bytes")
    return files


def _read_archive(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(ARCHIVE_BYTES_MAX + 1)


def _read_trust(path: Path) -> TrustedKeys:
    with path.open("rb") as stream:
        return parse_trust(stream.read(TRUST_BYTES_MAX + 1))
