"""Keys of authorities in a real PKCS #11 token: they sign a whole chain, and never leave."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pkcs11 import Attribute
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from pki.custody.contract import open_key_of
from pki.custody.envelope import custody_of, envelope_kind
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.pkcs11_keeper import Pkcs11Keeper
from pki.errors import SealError
from pki.identity import WorkloadIdentity
from pki.issuance import plan_intermediate, plan_leaf, plan_root, serial_number, sign_certificate
from pki.lint import lint
from pki.profiles import INTERMEDIATE, LEAF, ROOT
from pki.seal import ScryptCost
from tests.integration.pki.softhsm import MODULE, PIN, soft_hsm

DOMAIN = "countermark.internal"
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABEL = "countermark-roots"
GATEWAY = WorkloadIdentity(DOMAIN, "gateway")


@pytest.fixture(scope="module")
def keeper() -> Pkcs11Keeper:
    soft_hsm()
    return Pkcs11Keeper(MODULE, LABEL, PIN)


@pytest.fixture(scope="module")
def made(keeper: Pkcs11Keeper) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    return keeper.make("root", CREATED)


def objects(label: str = LABEL) -> list[Any]:
    """What is in the token, as its own user sees it."""
    token = pkcs11.lib(MODULE).get_token(token_label=label)
    with token.open(user_pin=PIN) as session:
        return sorted((found.object_class, bytes(found[Attribute.ID])) for found in session.get_objects())


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_a_chain_and_its_revocation_list_signed_by_the_token_hold(
    keeper: Pkcs11Keeper, made: tuple[ec.EllipticCurvePrivateKey, bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    root_key = keeper.open(made[1])
    issuing_key, _ = keeper.make("intermediate", CREATED)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    root_plan = plan_root(DOMAIN, now)
    root = sign_certificate(
        root_plan, public_key=root_key.public_key(), serial=serial_number(1), issuer=None, issuer_key=root_key
    )
    intermediate = sign_certificate(
        plan_intermediate(DOMAIN, root_plan, now), public_key=issuing_key.public_key(),
        serial=serial_number(2), issuer=root, issuer_key=root_key,
    )  # fmt: skip
    leaf = sign_certificate(
        plan_leaf(GATEWAY, intermediate, now), public_key=leaf_key.public_key(), serial=serial_number(3),
        issuer=intermediate, issuer_key=issuing_key,
    )  # fmt: skip
    crls = [
        x509.CertificateRevocationListBuilder(issuer.subject, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=deterministic)
        .public_bytes(Encoding.PEM)
        for issuer, key, deterministic in ((root, root_key, True), (intermediate, issuing_key, None))
    ]

    lint(root, ROOT, trust_domain=DOMAIN, identity=None, issuer=None)
    lint(intermediate, INTERMEDIATE, trust_domain=DOMAIN, identity=None, issuer=root)
    lint(leaf, LEAF, trust_domain=DOMAIN, identity=GATEWAY, issuer=intermediate)
    for name, content in (
        ("root", root.public_bytes(Encoding.PEM)), ("int", intermediate.public_bytes(Encoding.PEM)),
        ("leaf", leaf.public_bytes(Encoding.PEM)), ("crl", b"".join(crls)),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    verified = openssl(
        "verify", "-x509_strict", "-crl_check_all", "-CRLfile", tmp_path / "crl",
        "-CAfile", tmp_path / "root", "-untrusted", tmp_path / "int",
        "-purpose", "sslserver", tmp_path / "leaf",
    )  # fmt: skip
    assert verified.endswith(": OK\n")


def test_the_envelope_names_the_key_and_holds_no_secret(
    made: tuple[ec.EllipticCurvePrivateKey, bytes],
) -> None:
    key, envelope = made
    fields = json.loads(envelope)

    assert ("pkcs11", f"token {LABEL}") == (envelope_kind(envelope), custody_of(envelope))
    assert {
        "format",
        "version",
        "role",
        "spki_sha256",
        "created",
        "kdf",
        "token_label",
        "key_id",
        "spki",
    } == (fields.keys())
    assert PIN not in envelope.decode()
    assert PIN not in repr(key.__dict__)


def test_the_token_never_gives_a_key_away(
    keeper: Pkcs11Keeper, made: tuple[ec.EllipticCurvePrivateKey, bytes]
) -> None:
    key, envelope = made
    with pkcs11.lib(MODULE).get_token(token_label=LABEL).open(rw=True, user_pin=PIN) as session:
        for private in session.get_objects({Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}):
            with pytest.raises(pkcs11.AttributeSensitive):
                _ = private[Attribute.VALUE]
            with pytest.raises(pkcs11.PKCS11Error):
                private[Attribute.EXTRACTABLE] = True

    with pytest.raises(SealError, match="never leaves"):
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SealError, match="never leaves"):
        key.private_numbers()
    with pytest.raises(SealError, match="agrees on no secrets"):
        key.exchange(ec.ECDH(), key.public_key())
    assert copy.deepcopy(key).public_key() == copy.copy(key).public_key() == key.public_key()
    assert (256, "secp256r1") == (key.key_size, key.curve.name)
    assert (
        key.public_key()
        == open_key_of(keeper, envelope, role="root", public_key=key.public_key(), place="x").public_key()
    )


@pytest.mark.parametrize("algorithm", [hashes.SHA384(), hashes.SHA1()], ids=["sha384", "sha1"])
def test_it_signs_with_sha_256_and_nothing_else(
    made: tuple[ec.EllipticCurvePrivateKey, bytes], algorithm: hashes.HashAlgorithm
) -> None:
    with pytest.raises((SealError, UnsupportedAlgorithm)):
        made[0].sign(b"data", ec.ECDSA(algorithm))


def test_two_threads_do_not_log_each_other_out(made: tuple[ec.EllipticCurvePrivateKey, bytes]) -> None:
    faults: list[BaseException] = []

    def sign() -> None:
        try:
            for _ in range(50):
                made[0].sign(b"data", ec.ECDSA(hashes.SHA256()))
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the test shows it
            faults.append(fault)

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == faults


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"module": "/nowhere/libtoken.so"}, "cannot be loaded .* install the token's software"),
        ({"module": "/usr/bin/openssl"}, "cannot be loaded"),
        ({"token_label": "nobody"}, "in token 'countermark-roots', not in 'nobody'"),
        ({"token_label": "another"}, "in token 'countermark-roots', not in 'another'"),
        ({"pin": "0000-0000"}, "the PIN is wrong; tokens lock"),
        ({"pin": "1"}, "the PIN is wrong|impossible length"),
        ({"pin": ""}, "the PIN is wrong|impossible length|refused"),
    ],
    ids=["no module", "no library", "no token", "another token", "wrong pin", "short pin", "no pin"],
)
def test_whatever_is_missing_is_named(
    made: tuple[ec.EllipticCurvePrivateKey, bytes], changes: dict[str, str], reason: str
) -> None:
    place = {"module": MODULE, "token_label": LABEL, "pin": PIN} | changes

    with pytest.raises(SealError, match=reason) as caught:
        Pkcs11Keeper(**place).open(made[1])
    assert PIN not in str(caught.value)


def test_a_token_that_is_not_there_makes_no_key() -> None:
    with pytest.raises(SealError, match="'nobody': there is no such token: insert it"):
        Pkcs11Keeper(MODULE, "nobody", PIN).make("root", CREATED)
    for label in ("", "x" * 33, "a\x1b[2Jb"):
        with pytest.raises(SealError, match="1 to 32 bytes"):
            Pkcs11Keeper(MODULE, label, PIN)


def test_an_altered_reference_is_refused(
    keeper: Pkcs11Keeper, made: tuple[ec.EllipticCurvePrivateKey, bytes]
) -> None:
    fields = json.loads(made[1])
    other = json.loads(keeper.make("root", CREATED)[1])
    for change, reason in (
        ({"role": "intermediate"}, "another role or time"),
        ({"created": "2027-03-01T12:00:00+00:00"}, "another role or time"),
        ({"spki": other["spki"]}, "altered"),
        ({"spki_sha256": "ab" * 32}, "altered"),
        ({"spki": other["spki"], "spki_sha256": other["spki_sha256"]}, "does not verify"),
        ({"key_id": other["key_id"]}, "does not verify"),
        ({"key_id": "AAAAAAAAAAAAAAAAAAAAAA=="}, "does not hold this key"),
        ({"key_id": ""}, "altered"),
        ({"key_id": "?"}, "damaged"),
        ({"spki": "AAAA"}, "no P-256 key"),
        ({"token_label": ""}, "in token ''"),
    ):
        with pytest.raises(SealError, match=reason):
            keeper.open(json.dumps(fields | change).encode())


def test_a_key_that_the_token_would_give_away_is_refused(keeper: Pkcs11Keeper) -> None:
    envelope = keeper.make("root", CREATED)[1]
    fields = json.loads(envelope)
    with pkcs11.lib(MODULE).get_token(token_label=LABEL).open(rw=True, user_pin=PIN) as session:
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        label = f"countermark root {CREATED.isoformat()}"
        template = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
        public, _ = curve.generate_keypair(
            store=True, id=b"sixteen bytes id", label=label, private_template=template
        )
        spki = encode_ec_public_key(public)
    loose = fields | {
        "key_id": base64.b64encode(b"sixteen bytes id").decode(),
        "spki": base64.b64encode(spki).decode(),
        "spki_sha256": hashlib.sha256(spki).hexdigest(),
    }

    with pytest.raises(SealError, match="does not keep this key to itself"):
        keeper.open(json.dumps(loose).encode())


def test_a_destroyed_key_is_gone_from_the_token(keeper: Pkcs11Keeper) -> None:
    before = objects()
    key, envelope = keeper.make("intermediate", CREATED)
    assert 2 == len(objects()) - len(before)
    with pytest.raises(SealError, match=f"in token '{LABEL}'"):
        PassphraseKeeper(b"a passphrase of the tests", ScryptCost(n=2**14)).destroy(envelope)
    keeper.destroy(envelope)
    keeper.destroy(envelope)

    assert before == objects()
    with pytest.raises(SealError, match="does not hold this key"):
        key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(SealError, match="does not hold this key"):
        keeper.open(envelope)
