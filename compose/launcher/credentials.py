"""What the stack must have before a process starts: authority, leaves, signing keys, passwords.

Made once and kept; leaves are issued again when they are due. Nothing secret passes through arguments or the
environment. What opens the authority's keys lies in `secrets/`, apart from the sealed keys: that serves
unattended starts on one machine; where people operate the authority, they type it.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from compose.derive.process_config import (
    CELL_KEY_FILE,
    LOG_KEY_FILE,
    PASSWORD_FILE,
    RECEIPT_KEY_FILE,
    TRUST_KEYS_FILE,
    TRUST_KEYS_READERS,
    WEBHOOK_JWKS_FILE,
    WEBHOOK_KEY_FILE,
    WEBHOOK_SEAL_FILE,
    WEBHOOK_SEAL_KEY_FILE,
    WITNESS_KEY_FILE,
    log_name,
    witness_name,
)
from compose.launcher.accounts import Account
from compose.launcher.errors import EXIT_FAILED, StartError
from compose.launcher.layout import Layout, own_folder, write_public, write_readable
from compose.launcher.release import checkout_root
from compose.launcher.root_custody import RootKeeper, provide_passphrase
from compose.launcher.standard_rules import provide_rules
from compose.mesh import Mesh
from pki.authority import (
    IssuingAuthority,
    Owner,
    initialise,
    is_initialised,
    leaves_due,
    publish_bundles,
    renew_lists,
)
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.policy import Policy, read_policy
from pki.recorded_signing import attribution
from services.notifications.sealing import SecretOpener, new_seal_key
from services.vault.cell_keys import with_new_key
from signing import SigningKey, keys_to_jwks
from signing.evidence.trust import NamedKey, TrustedKeys, write_trust

POLICY = Path("certs") / "policy.toml"  # In the checkout: what people have reviewed.
PASSWORD_BYTES = 32  # Never typed, so as long as the digest that stores it.


def provide_certificates(mesh: Mesh, layout: Layout, accounts: dict[str, Account]) -> list[str]:
    """Make the authority if there is none and issue every leaf that is due; return their names.

    Raises:
        PKIError: The reviewed policy does not fit the mesh, or the authority cannot be used.
        StartError: The policy gives a key to another account.
    """
    now = datetime.now(UTC)
    policy = read_policy(checkout_root() / POLICY, mesh_path=checkout_root() / "compose" / "mesh.toml")
    _require_accounts(policy, accounts)
    by = attribution("start", policy.digest)
    initialised = is_initialised(layout.certs)
    passphrase = provide_passphrase(layout, initialised=initialised)
    issuing, root = PassphraseKeeper(passphrase), RootKeeper(layout.secrets, passphrase)
    if not initialised:
        initialise(layout.certs, trust_domain=mesh.trust_domain, root=root, issuing=issuing, now=now, by=by)
    renew_lists(layout.certs, issuing=issuing, root=lambda: root, now=now, by=by)
    owners = {name: Owner(accounts[name].uid, accounts[name].gid) for name in mesh.workloads()}
    # New lists beside a leaf that still has its time: not a reason for a new leaf.
    publish_bundles(layout.certs, mesh.workloads(), owners)
    due = leaves_due(layout.certs, mesh.workloads(), now, owners)
    if due:
        IssuingAuthority.open(layout.certs, issuing).issue(due, owners=owners, now=now, by=by)
    return list(due)


def _require_accounts(policy: Policy, accounts: dict[str, Account]) -> None:
    """Where each workload has an account of its own, it is the one that the policy names."""
    for name, entry in policy.workloads.items():
        account = accounts[name]
        if account.drop and account.name != entry.account:
            raise StartError(
                f"{policy.path}:{entry.line}: the key of {name} is for the account {entry.account}, but "
                f"{name} runs as {account.name}: derive it again with `python -m compose.derive policy`",
                EXIT_FAILED,
            )


def provide_secrets(mesh: Mesh, layout: Layout, accounts: dict[str, Account]) -> dict[str, bytes]:
    """Make passwords and signing keys where they are missing; return the Redis passwords by caller."""
    passwords = {}
    for hop in mesh.callers_of("redis", "redis"):
        file = layout.secrets / hop.caller / PASSWORD_FILE
        own_folder(file.parent, accounts[hop.caller], writable=False)
        if not file.exists():
            write_readable(file, secrets.token_hex(PASSWORD_BYTES), accounts[hop.caller])
        passwords[hop.caller] = file.read_bytes()
    receipt = _signing_key(layout.secrets / "gateway" / RECEIPT_KEY_FILE, accounts["gateway"])
    webhook = _signing_key(layout.secrets / "notifications" / WEBHOOK_KEY_FILE, accounts["notifications"])
    own_folder(layout.run / "gateway", accounts["gateway"], writable=False)
    jwks = keys_to_jwks([webhook.verifying_key])
    write_readable(layout.run / "gateway" / WEBHOOK_JWKS_FILE, jwks, accounts["gateway"])
    _provide_seal_key(layout, accounts)
    log = _signing_key(layout.secrets / "evidence" / LOG_KEY_FILE, accounts["evidence"])
    witness = _signing_key(layout.secrets / "witness" / WITNESS_KEY_FILE, accounts["witness"])
    trust = TrustedKeys(
        (receipt.verifying_key,),
        (NamedKey(log_name(mesh), log.verifying_key),),
        (NamedKey(witness_name(mesh, "witness"), witness.verifying_key),),
    )
    _publish_trust(layout, accounts, write_trust(trust))
    provide_rules(layout, accounts["fraud"])
    _provide_cell_key(layout.secrets / "vault" / CELL_KEY_FILE, accounts["vault"])
    return passwords


def _provide_seal_key(layout: Layout, accounts: dict[str, Account]) -> None:
    """The key that opens webhook secrets, for their sender, and its public half for the gateway."""
    file = layout.secrets / "notifications" / WEBHOOK_SEAL_KEY_FILE
    if not file.exists():
        write_readable(file, new_seal_key(), accounts["notifications"])
    public = SecretOpener(file.read_bytes()).public_pem()
    write_readable(layout.run / "gateway" / WEBHOOK_SEAL_FILE, public, accounts["gateway"])


def _provide_cell_key(file: Path, account: Account) -> None:
    """The first version; further ones are made, and old ones destroyed, by people."""
    own_folder(file.parent, account, writable=False)
    if not file.exists():
        write_readable(file, with_new_key(b""), account)


def _publish_trust(layout: Layout, accounts: dict[str, Account], document: bytes) -> None:
    for name in TRUST_KEYS_READERS:
        own_folder(layout.run / name, accounts[name], writable=False)
        write_readable(layout.run / name / TRUST_KEYS_FILE, document, accounts[name])
    # For people: what a contract with this gateway would print.
    write_public(layout.run / TRUST_KEYS_FILE, document)


def _signing_key(file: Path, account: Account) -> SigningKey:
    own_folder(file.parent, account, writable=False)
    if not file.exists():
        write_readable(file, SigningKey.generate("ed25519").to_pem(), account)
    return SigningKey.from_pem(file.read_bytes())
