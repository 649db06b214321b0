"""verify.sh says what the package says, under dash and bash, with openssl and coreutils alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signing import SigningKey
from signing.evidence import SCRIPT_SHA256, build_files, verify_bundle, verify_script
from signing.evidence.errors import EvidenceRefused
from signing.evidence.script import SCRIPTS_SHA256
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.evidence.bundle_samples import World, ledger_head, plain_world, resign
from tests.unit.signing.evidence.hostile_bundles import HOSTILE
from tests.unit.signing.evidence.script_run import (
    PROGRAMS,
    SHELLS,
    arguments,
    both_refuse,
    programs,
    run,
    write_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.signing.evidence.hostile_requests import Bundle

__all__ = ["programs"]  # the fixture

LINES_MAX = 60  # what a court's expert reads in an afternoon
WORLD = plain_world()
FILES = WORLD.files()
TRUST = WORLD.trust()
# The last one has the most that a bundle can hold: three keys, two gateways' keys, a revocation.
WORLDS: list[tuple[list[SigningKey], SigningKey, SigningKey | None, bool, bool, str | None]] = [
    ([samples.MERCHANT_ED25519], samples.GATEWAY_P256, None, True, False, None),
    ([samples.MERCHANT_P256], samples.GATEWAY, None, False, True, None),
    (
        [samples.MERCHANT_P256, samples.MERCHANT_ED25519, samples.p256_key("c")],
        samples.GATEWAY_P256, samples.GATEWAY, True, True, "2026-11-25T14:00:00.123456Z",
    ),
]  # fmt: skip


def test_the_script_is_the_one_whose_hash_is_published() -> None:
    script = verify_script()

    assert hashlib.sha256(script).hexdigest() == SCRIPT_SHA256
    assert SCRIPT_SHA256 in SCRIPTS_SHA256
    assert script.count(b"\n") < LINES_MAX
    assert script.isascii()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("keys", "gateway", "earlier", "witnessed", "revoked", "compromised"), WORLDS)
def test_the_script_prints_what_the_package_finds(
    keys: list[SigningKey],
    gateway: SigningKey,
    earlier: SigningKey | None,
    *,
    witnessed: bool,
    revoked: bool,
    compromised: str | None,
    shell: str,
    tmp_path: Path,
    programs: Path,
) -> None:
    world = World(keys, gateway, witnessed=witnessed, earlier_gateway=earlier)
    files = build_files(world.parts(revoke_after=revoked, compromised=compromised), gateway)
    expected = "".join(f"{finding}\n" for finding in verify_bundle(files, world.trust()).findings)

    ran = run(shell, write_folder(files, tmp_path / "b"), programs, *arguments(world.trust()))

    assert (0, expected, "") == (ran.code, ran.out, ran.err)


@pytest.mark.parametrize("shell", SHELLS)
def test_heads_of_a_ledger_in_the_log_change_nothing_for_a_payment(
    shell: str, tmp_path: Path, programs: Path
) -> None:
    world = plain_world()
    head = world.append(ledger_head(world).entry())
    files = build_files(world.parts(), world.gateway)
    verified = verify_bundle(files, world.trust())

    ran = run(shell, write_folder(files, tmp_path / "b"), programs, *arguments(world.trust()))

    assert (0, 0, "") == (head, ran.code, ran.err)
    assert "".join(f"{finding}\n" for finding in verified.findings) == ran.out


@pytest.mark.parametrize("number", range(12))
def test_ecdsa_is_put_into_der_whatever_its_numbers_begin_with(
    number: int, tmp_path: Path, programs: Path
) -> None:
    # r and s begin with a zero byte once in 256 times, and with a set bit once in two: these are looked for.
    world = World([samples.MERCHANT_P256], samples.GATEWAY, witnessed=False)
    body = b""
    for attempt in range(20000):
        body = b'{"n":%d}' % attempt
        signature = samples.MERCHANT_P256.sign(body)
        halves = signature[:32], signature[32:]
        wanted = (
            (halves[number % 2][0] == 0) if number < 4 else (halves[number % 2][0] >= 0x80) == (number < 8)
        )
        if wanted:
            break
    (tmp_path / "b").mkdir()
    (tmp_path / "b/content").write_bytes(body)
    (tmp_path / "b/sig").write_bytes(signature)
    (tmp_path / "b/key.pem").write_bytes(samples.MERCHANT_P256.verifying_key.to_spki_pem())
    definitions = verify_script().partition(b"\nrecord()")[0]
    (tmp_path / "b/verify.sh").write_bytes(definitions + b"\nsig key.pem sig content\necho held\n")

    assert world.merchant_keys
    assert "held\n" == run("dash", tmp_path / "b", programs, "a", "b").out


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda function: function.__name__)
def test_what_a_hostile_gateway_makes_is_refused_by_both(
    hostile: Callable[[], Bundle], tmp_path: Path, programs: Path
) -> None:
    said = both_refuse(*hostile(), tmp_path / "b", programs, "dash")

    assert "unreadable" not in said


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", sorted(set(FILES) - {"verify.sh"}))
def test_an_altered_byte_of_any_file_is_refused_by_both(
    name: str, shell: str, tmp_path: Path, programs: Path
) -> None:
    size = len(FILES[name])
    for at in (0, size // 2, size - 1) if shell == "dash" else (size // 3,):
        changed = bytearray(FILES[name])
        changed[at] ^= 1
        both_refuse({**FILES, name: bytes(changed)}, TRUST, tmp_path / f"b{at}", programs, shell)


# The gateway may write another README, and name another witness: then none is proven.
SIGNED_BY_OTHERS = sorted(
    set(FILES)
    - {"verify.sh", "README", "SHA256SUMS", "SHA256SUMS.sig", "keys/witness-witness.example.org_w1.pem"}
)


@pytest.mark.parametrize("name", SIGNED_BY_OTHERS)
def test_an_altered_byte_is_refused_by_both_though_the_gateway_signs_it(
    name: str, tmp_path: Path, programs: Path
) -> None:
    changed = bytearray(FILES[name])
    changed[len(changed) * 2 // 3] ^= 1
    files = resign({**FILES, name: bytes(changed)}, samples.GATEWAY_P256)

    both_refuse(files, TRUST, tmp_path / "b", programs, "dash")


@pytest.mark.parametrize("shell", SHELLS)
def test_files_removed_added_cut_short_or_swapped_are_refused_by_both(
    shell: str, tmp_path: Path, programs: Path
) -> None:
    other = plain_world()
    other.now += 5
    other_files = build_files(other.parts("pay_eu_02"), other.gateway)
    swapped = {name: content for name, content in other_files.items() if name.startswith("payment/")}
    cases = [
        {name: content for name, content in FILES.items() if name != "payment/entry"},
        {name: content for name, content in FILES.items() if name != "keys/log.pem"},
        {name: content for name, content in FILES.items() if name != "SHA256SUMS.sig"},
        {name: content for name, content in FILES.items() if name != "history"},
        {**FILES, "extra": b""},
        {**FILES, ".hidden": b""},
        {**FILES, "payment/.hidden": b"x"},
        {**FILES, "payment/deep/er": b"x"},
        {**FILES, "keys/merchant-2.pem": FILES["keys/merchant.pem"]},
        {**FILES, "checkpoint": FILES["checkpoint"][:-1]},
        {**FILES, "payment/request.sig": FILES["payment/request.sig"][:63]},
        {**FILES, **swapped},
        resign({**FILES, **swapped}, samples.GATEWAY_P256),
        resign(
            {name: content for name, content in FILES.items() if name != "payment/proof"},
            samples.GATEWAY_P256,
        ),
    ]
    for number, files in enumerate(cases):
        both_refuse(files, TRUST, tmp_path / f"b{number}", programs, shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_other_keys_than_the_trusted_ones_are_refused(shell: str, tmp_path: Path, programs: Path) -> None:
    folder = write_folder(FILES, tmp_path / "b")
    gateway, log, witness = arguments(TRUST)
    for words in ((log, log), (gateway, gateway), ("", ""), (gateway[:-1], log), ("*", "*")):
        ran = run(shell, folder, programs, *words)
        assert 1 == ran.code
        assert ran.out.splitlines()[-1].startswith("FAILED: ")
    unknown = run(shell, folder, programs, gateway.upper(), f"{gateway},{log}", gateway)
    assert 0 == unknown.code
    assert f"not proven: that the witness with key {gateway} saw this log\n" in unknown.out
    assert 2 == run(shell, folder, programs, gateway).code
    assert witness


def test_a_link_in_the_folder_is_refused(tmp_path: Path, programs: Path) -> None:
    folder = write_folder(FILES, tmp_path / "b")
    (tmp_path / "elsewhere").write_bytes(FILES["history"])
    (folder / "history").unlink()
    (folder / "history").symlink_to(tmp_path / "elsewhere")

    ran = run("dash", folder, programs, *arguments(TRUST))

    assert (1, "FAILED: history is no file\n") == (ran.code, ran.out)


def test_the_script_needs_every_listed_program_and_no_other(tmp_path: Path, programs: Path) -> None:
    folder = write_folder(FILES, tmp_path / "b")
    for missing in PROGRAMS:
        fewer = tmp_path / f"without-{missing}"
        fewer.mkdir()
        for link in programs.iterdir():
            if link.name != missing:
                (fewer / link.name).symlink_to(link.resolve())
        if missing in {"rm", "mktemp"}:
            continue  # without these the run leaves its temporary folder, or has none to leave
        assert 0 != run("dash", folder, fewer, *arguments(TRUST)).code, missing


def test_the_script_in_the_bundle_must_be_one_of_ours() -> None:
    with pytest.raises(EvidenceRefused, match=r"verify\.sh"):
        verify_bundle(resign({**FILES, "verify.sh": b"echo proven\n"}, samples.GATEWAY_P256), TRUST)
