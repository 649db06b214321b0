"""A bundle verifies in every combination of keys, and in no other form than the one that was built."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from signing import SigningKey
from signing.evidence import TrustedKeys, build_files, folder_name, pack, unpack, verify_bundle
from signing.evidence import errors as refusals
from signing.evidence.errors import BundleUnfit, EvidenceRefused
from signing.evidence.layout import (
    MANIFEST_SIGNATURE,
    KeyHistory,
    parse_history,
    parse_proof,
    witness_key_file,
)
from signing.evidence.verification import VerifiedBundle
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.evidence.bundle_samples import (
    LOG_NAME,
    MERCHANT_ID,
    WITNESS_NAME,
    World,
    plain_world,
    resign,
)

KEYS = [samples.MERCHANT_ED25519, samples.MERCHANT_P256]
GATEWAYS = [samples.GATEWAY, samples.GATEWAY_P256]
WORLD = plain_world()
FILES = WORLD.files()
TRUST = WORLD.trust()


def flipped(files: dict[str, bytes], name: str, at: int, bit: int = 1) -> dict[str, bytes]:
    content = bytearray(files[name])
    content[at] ^= bit
    return {**files, name: bytes(content)}


@pytest.mark.parametrize("gateway", GATEWAYS, ids=str)
@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("vouching", [0, 1, 3])
@pytest.mark.parametrize("witnessed", [True, False])
@pytest.mark.parametrize("revoked", [True, False])
def test_a_bundle_verifies(
    gateway: SigningKey, key: SigningKey, vouching: int, *, witnessed: bool, revoked: bool
) -> None:
    others = [samples.ed25519_key("a"), samples.p256_key("b"), samples.ed25519_key("c")][:vouching]
    world = World([key, *others], gateway, witnessed=witnessed)
    files = build_files(world.parts(revoke_after=revoked), gateway)

    bundle = verify_bundle(unpack(pack(files, folder_name("pay_eu_01"))), world.trust())

    assert ("pay_eu_01", MERCHANT_ID, key.key_id) == (bundle.subject, bundle.merchant_id, bundle.key_id)
    lines = list(map(str, bundle.findings))
    assert 1 + vouching == sum("was registered for merchant" in line for line in lines)
    assert witnessed == any(line.startswith("proven: the log with these entries existed") for line in lines)
    assert witnessed != any("no witness is trusted" in line for line in lines)
    assert revoked == any("the gateway's word for its revocation: at entry" in line for line in lines)
    assert any(line.startswith("not proven: which company or person") for line in lines)


def test_a_gateway_that_changed_its_key_has_both_in_the_bundle() -> None:
    world = World([samples.MERCHANT_P256], samples.GATEWAY, earlier_gateway=samples.GATEWAY_P256)
    files = world.files()

    verify_bundle(files, world.trust())
    assert samples.GATEWAY_P256.verifying_key.to_spki_pem() == files["keys/gateway-2.pem"]
    with pytest.raises(refusals.KeyUntrusted):
        verify_bundle(files, replace(world.trust(), gateways=(samples.GATEWAY.verifying_key,)))


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_altered_byte_of_any_file_is_refused(name: str) -> None:
    size = len(FILES[name])
    for at in {0, 1, size // 3, size // 2, size - 2, size - 1}:
        for bit in (1, 32, 128):
            with pytest.raises(EvidenceRefused):
                verify_bundle(flipped(FILES, name, at, bit), TRUST)
    with pytest.raises(EvidenceRefused):
        verify_bundle({**FILES, name: FILES[name][:-1]}, TRUST)
    with pytest.raises(EvidenceRefused):
        verify_bundle({**FILES, name: FILES[name] + b"\n"}, TRUST)
    with pytest.raises(refusals.FilesDiffer):
        verify_bundle({other: content for other, content in FILES.items() if other != name}, TRUST)


# The gateway may write another README, and name another witness: then none is proven.
SIGNED_BY_OTHERS = set(FILES) - {"README", MANIFEST_SIGNATURE, "SHA256SUMS", witness_key_file(WITNESS_NAME)}


@pytest.mark.parametrize("name", sorted(SIGNED_BY_OTHERS))
def test_not_even_the_gateway_can_alter_a_byte_of_what_others_signed(name: str) -> None:
    size = len(FILES[name])
    for at in {*range(0, size, 29), size - 1}:
        with pytest.raises(EvidenceRefused):
            verify_bundle(resign(flipped(FILES, name, at), samples.GATEWAY_P256), TRUST)


def test_a_file_more_is_refused_even_if_it_is_in_the_manifest() -> None:
    for name in (
        "extra",
        "payment/extra",
        "keys/merchant-3.pem",
        "keys/witness-X.pem",
        "payment/statement",
        "a/b",
    ):
        with pytest.raises(refusals.FilesDiffer):
            verify_bundle(resign({**FILES, name: b"x"}, samples.GATEWAY_P256), TRUST)


def test_two_bundles_cannot_be_mixed() -> None:
    other = plain_world()
    other.now += 5
    other_files = build_files(other.parts("pay_eu_02"), other.gateway)
    for folder in ("payment/", "registration/", "checkpoint", "payment/entry", "payment/proof"):
        mixed = {**FILES, **{name: c for name, c in other_files.items() if name.startswith(folder)}}
        with pytest.raises(EvidenceRefused):
            verify_bundle(mixed, TRUST)
        with pytest.raises(EvidenceRefused):
            verify_bundle(resign(mixed, samples.GATEWAY_P256), TRUST)


def test_only_the_keys_that_the_verifier_trusts_count() -> None:
    mallory = samples.MALLORY.verifying_key
    for trust in (
        TrustedKeys(),
        replace(TRUST, gateways=()),
        replace(TRUST, gateways=(mallory,)),
        replace(TRUST, logs=()),
        replace(TRUST, logs=(replace(TRUST.logs[0], key=mallory),)),
        replace(TRUST, logs=(replace(TRUST.logs[0], name="log.countermark.example/us"),)),
    ):
        with pytest.raises(refusals.KeyUntrusted):
            verify_bundle(FILES, trust)


def test_a_witness_that_did_not_cosign_proves_nothing() -> None:
    mute = resign(
        {**FILES, "checkpoint": FILES["checkpoint"].rpartition("— ".encode())[0]}, samples.GATEWAY_P256
    )
    with pytest.raises(refusals.NoteNotSigned):
        verify_bundle(mute, TRUST)
    named = {**FILES, witness_key_file(WITNESS_NAME): samples.MALLORY.verifying_key.to_spki_pem()}
    findings = verify_bundle(resign(named, samples.GATEWAY_P256), TRUST).findings
    assert not any(finding.proven and "existed" in finding.what for finding in findings)
    stranger = replace(TRUST.witnesses[0], key=samples.MALLORY.verifying_key)
    renamed = replace(TRUST.witnesses[0], name="witness.example.org/w2")
    for witness in (stranger, renamed):
        findings = verify_bundle(FILES, replace(TRUST, witnesses=(witness,))).findings
        assert any("saw this log" in finding.what and not finding.proven for finding in findings)
        assert not any(finding.proven and "existed" in finding.what for finding in findings)


def test_the_path_of_every_file_is_known() -> None:
    expected = ["README", "SHA256SUMS", "SHA256SUMS.sig", "checkpoint", "history", "verify.sh"]
    expected += [
        f"keys/{key}.pem" for key in ("gateway", "log", "merchant", "witness-witness.example.org_w1")
    ]
    parts = ["entry", "proof", "receipt.base", "receipt.sig", "request.base", "request.body", "request.head"]
    parts += ["request.sig", "response.body"]
    expected += [f"{folder}/{part}" for folder in ("payment", "registration") for part in parts]

    assert sorted(expected) == sorted(FILES)
    assert re.fullmatch(rb"index 7\nsize 11\n([0-9a-f]{64}\n){3,4}", FILES["payment/proof"])
    assert (7, 11) == (parse_proof(FILES["payment/proof"]).index, parse_proof(FILES["payment/proof"]).size)
    assert (KeyHistory(KEYS[0].key_id, MERCHANT_ID, 3, None, None, 11),) == parse_history(FILES["history"])
    assert FILES["checkpoint"].startswith(f"{LOG_NAME}\n11\n".encode())


def test_a_bundle_that_would_not_verify_is_not_built() -> None:
    parts = plain_world().parts()
    gateway = samples.GATEWAY_P256
    history = parts.histories[0]
    wrong = [
        replace(parts, registrations=()),
        replace(parts, merchant_keys=(samples.MALLORY.verifying_key,)),
        replace(parts, payment=replace(parts.payment, index=parts.payment.index + 1)),
        replace(parts, payment=replace(parts.payment, index=-1)),
        replace(parts, payment=replace(parts.payment, path=(b"short",))),
        replace(parts, size=parts.size + 1),
        replace(parts, payment=parts.registrations[0]),
        replace(parts, histories=(replace(history, revoked_at=parts.payment.index - 1),)),
        replace(parts, histories=(replace(history, compromised_since="yesterday"),)),
        replace(parts, witnesses=parts.witnesses * 2),
        replace(parts, payment=replace(parts.payment, record=replace(parts.payment.record, receipt_base=None,
                                                                     receipt_signature=None))),
    ]  # fmt: skip
    for unfit in wrong:
        with pytest.raises(BundleUnfit):
            build_files(unfit, gateway)
    with pytest.raises(BundleUnfit):
        build_files(parts, samples.MALLORY)


def test_a_verified_bundle_is_made_by_the_verification_alone() -> None:
    with pytest.raises(TypeError):
        VerifiedBundle("pay_eu_01", MERCHANT_ID, "x", (), seal=object())
