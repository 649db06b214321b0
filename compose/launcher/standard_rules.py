"""The rules of the fraud service on a machine that has none: the standard ones, signed with a key made here.

The key lies in the data directory and is readable by whoever starts the stack; no service has it. Where
compliance signs by itself, its key is pinned in place of this one and never comes here.
"""

from __future__ import annotations

import os
from pathlib import Path

from compose.derive.process_config import RULES_FILE, RULES_TRUST_FILE
from compose.launcher.accounts import Account
from compose.launcher.layout import Layout, own_folder, write_readable
from compose.launcher.release import checkout_root
from services.fraud.errors import FraudError
from services.fraud.rule_file import open_rules, sign_rules
from services.fraud.rules import parse_rules
from signing import SigningKey

COMPLIANCE_FOLDER = "compliance"  # Below `secrets/`; no workload of this name exists.
RULES_KEY_FILE = "rules.key.pem"
STANDARD_RULES = Path("services") / "fraud" / "standard_rules.toml"  # In the checkout.


def provide_rules(layout: Layout, account: Account) -> None:
    """Sign the standard rules unless rules at least as new, by the same key, are in place."""
    key = _compliance_key(layout.secrets / COMPLIANCE_FOLDER)
    folder = layout.run / "fraud"
    own_folder(folder, account, writable=False)
    trust = folder / RULES_TRUST_FILE
    if not trust.exists():
        write_readable(trust, key.verifying_key.to_spki_pem(), account)
    rules, standard = folder / RULES_FILE, (checkout_root() / STANDARD_RULES).read_bytes()
    if not rules.exists() or _version(rules.read_bytes(), key) < parse_rules(standard).version:
        write_readable(rules, sign_rules(standard, key), account)


def _version(document: bytes, key: SigningKey) -> int:
    """The version of rules that are in place; somebody else's are left alone, whatever they say."""
    try:
        return open_rules(document, [key.verifying_key]).pack.version
    except FraudError:
        return 2**31


def _compliance_key(folder: Path) -> SigningKey:
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / RULES_KEY_FILE
    if not file.exists():
        aside = file.with_name(file.name + ".new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(SigningKey.generate("ed25519").to_pem())
            opened.flush()
            os.fsync(opened.fileno())
        aside.rename(file)
    return SigningKey.from_pem(file.read_bytes())
