"""Notes, checkpoints and cosignatures, against the vectors of the specifications and of Go's note package."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from signing import SigningKey
from signing.evidence import (
    COSIGNATURE,
    Checkpoint,
    add_checkpoint_request,
    checkpoint_body,
    cosign,
    make_note,
    parse_add_checkpoint_request,
    parse_checkpoint_body,
    parse_note,
    parse_vkey,
    sign_note,
    verify_cosignature,
    verify_log_signature,
    vkey,
)
from signing.evidence.errors import NoteKeyRefused, NoteMalformed, NoteNotSigned, NoteSignatureInvalid
from signing.evidence.note import NOTE_BYTES_MAX, SIGNATURES_MAX
from tests.unit.signing import signing_samples as samples

# golang.org/x/mod/sumdb/note, note_test.go: key and note of PeterNeumann.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_TEXT = (
    b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ryy"
    "BwJnAM=\n"
)
# The example of tlog-checkpoint, tlog-cosignature and tlog-witness.
SOFA = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFA_LOG_LINE = (
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9"
    "nTo+zyWE+xeMcTOAYQ8=\n"
)
SOFA_WITNESS_LINE = (
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ"
    "qhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
SOFA_LINES = [SOFA_LOG_LINE, SOFA_WITNESS_LINE]
SOFA_PATH = [
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=", "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=",
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=", "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=",
]  # fmt: skip
LOG, WITNESS = samples.ed25519_key("log"), samples.ed25519_key("witness")
NAME = "log.example/eu"
BODY = checkpoint_body(Checkpoint(NAME, 7, bytes(range(32))))


def test_a_published_note_verifies_and_its_key_makes_the_same() -> None:
    name, key, kind = parse_vkey(PETER)
    signer = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(PETER_SEED))

    verify_log_signature(parse_note(PETER_TEXT + b"\n" + PETER_LINE.encode()), name, key)
    assert signer.verifying_key == key
    assert PETER_LINE == sign_note(PETER_TEXT, name, signer)
    assert PETER == vkey(name, key, kind)


def test_the_checkpoint_of_the_specification_is_read_and_written() -> None:
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    note = parse_note(make_note(SOFA, SOFA_LINES))

    assert Checkpoint("example.com/behind-the-sofa", 20852163, root) == parse_checkpoint_body(note.body)
    assert checkpoint_body(parse_checkpoint_body(SOFA)) == SOFA
    assert ["example.com/behind-the-sofa", "witness.example.com/w1"] == [s.name for s in note.signatures]
    # The time in the example's cosignature is the one in its text: 1679315147.
    assert 1679315147 == int.from_bytes(note.signatures[1].signature[:8], "big")
    assert [64, 72] == [len(s.signature) for s in note.signatures]


def test_the_request_to_a_witness_is_that_of_the_specification() -> None:
    note = make_note(SOFA, SOFA_LINES)
    expected = "old 20852014\n" + "".join(f"{line}\n" for line in SOFA_PATH) + "\n"

    made = add_checkpoint_request(20852014, [base64.b64decode(line) for line in SOFA_PATH], note)

    assert expected.encode() + note == made
    parsed = parse_add_checkpoint_request(made)
    assert (20852014, note) == (parsed.old_size, parsed.note)
    assert SOFA_PATH == [base64.b64encode(part).decode() for part in parsed.path]


def test_a_cosignature_is_the_fixed_bytes_of_the_specification() -> None:
    line = cosign(BODY, "w.example", WITNESS, 1679315147)

    raw = base64.urlsafe_b64decode(WITNESS.verifying_key.to_jwk()["x"] + "=")
    key_hash = hashlib.sha256(b"w.example\n\x04" + raw).digest()[:4]
    signature = WITNESS.sign(b"cosignature/v1\ntime 1679315147\n" + BODY)
    expected = base64.b64encode(key_hash + (1679315147).to_bytes(8, "big") + signature).decode()
    assert f"— w.example {expected}\n" == line
    note = parse_note(make_note(BODY, [sign_note(BODY, NAME, LOG), line]))
    assert 1679315147 == verify_cosignature(note, "w.example", WITNESS.verifying_key)
    verify_log_signature(note, NAME, LOG.verifying_key)


def test_a_signature_counts_for_its_own_name_key_and_kind_alone() -> None:
    note = parse_note(make_note(BODY, [sign_note(BODY, NAME, LOG), cosign(BODY, "w", WITNESS, 5)]))

    for name, key in (("other", LOG), (NAME, WITNESS), ("w", WITNESS)):
        with pytest.raises(NoteNotSigned):
            verify_log_signature(note, name, key.verifying_key)
    for name, key in (("other", WITNESS), ("w", LOG), (NAME, LOG)):
        with pytest.raises(NoteNotSigned):
            verify_cosignature(note, name, key.verifying_key)


def test_a_signature_by_a_known_key_that_does_not_hold_refuses_the_note() -> None:
    other = checkpoint_body(Checkpoint(NAME, 8, bytes(range(32))))
    note = parse_note(make_note(other, [sign_note(BODY, NAME, LOG), cosign(BODY, "w", WITNESS, 5)]))
    twice = parse_note(make_note(BODY, [sign_note(BODY, NAME, LOG)] * 2))

    for bad in (note, twice):
        with pytest.raises(NoteSignatureInvalid):
            verify_log_signature(bad, NAME, LOG.verifying_key)
    with pytest.raises(NoteSignatureInvalid):
        verify_cosignature(note, "w", WITNESS.verifying_key)


def test_a_cosignature_binds_its_time() -> None:
    line = cosign(BODY, "w", WITNESS, 5)
    blob = base64.b64decode(line.split(" ")[2])
    later = blob[:4] + (6).to_bytes(8, "big") + blob[12:]
    never = blob[:4] + b"\xff" * 8 + blob[12:]
    for changed in (later, never, blob[:-1], blob + b"x"):
        note = parse_note(make_note(BODY, [f"— w {base64.b64encode(changed).decode()}\n"]))
        with pytest.raises(NoteSignatureInvalid):
            verify_cosignature(note, "w", WITNESS.verifying_key)
    with pytest.raises(NoteMalformed):
        cosign(BODY, "w", WITNESS, -1)
    with pytest.raises(NoteMalformed):
        cosign(b"no checkpoint\n", "w", WITNESS, 5)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"text",
        b"text\n\n",
        b"text\n\n\n",
        b"text\n" + PETER_LINE.encode(),
        b"\xff\n\n" + PETER_LINE.encode(),
        b"te\txt\n\n" + PETER_LINE.encode(),
        PETER_TEXT + b"\n" + PETER_LINE.encode()[:-1],
        PETER_TEXT + b"\n- PeterNeumann x08g\n",
        PETER_TEXT + "\n— Peter Neumann x08go/Zb\n".encode(),
        PETER_TEXT + "\n— Peter+ x08go/Zb\n".encode(),
        PETER_TEXT + "\n— Peter x08g\n".encode(),
        PETER_TEXT + "\n— Peter x08go/Z\n".encode(),
        PETER_TEXT + "\n— Peter x08go/Zb=\n".encode(),
        PETER_TEXT + "\n— Peter x08go/ZB\r\n".encode(),
        PETER_TEXT + "\n— Pe\u00a0ter x08go/Zb\n".encode(),
        PETER_TEXT + "\n— P x08goB==\n".encode(),
        PETER_TEXT + b"\n" + PETER_LINE.encode() * (SIGNATURES_MAX + 1),
        b"x" * NOTE_BYTES_MAX + b"\n\n" + PETER_LINE.encode(),
    ],
)
def test_a_malformed_note_is_refused(note: bytes) -> None:
    with pytest.raises(NoteMalformed):
        parse_note(note)


def test_unknown_signatures_are_passed_over_and_sixteen_are_accepted() -> None:
    lines = [f"— unknown.example/{n} {base64.b64encode(bytes(300)).decode()}\n" for n in range(16)]
    note = parse_note(make_note(BODY, [*lines, "— größe.example AAAAAAA=\n", sign_note(BODY, NAME, LOG)]))

    verify_log_signature(note, NAME, LOG.verifying_key)


def test_a_text_may_hold_empty_lines_but_no_signatures_of_its_own() -> None:
    assert b"one\n\ntwo\n" == parse_note(b"one\n\ntwo\n\n" + PETER_LINE.encode()).body
    with pytest.raises(NoteMalformed):
        make_note(b"one\n\n" + PETER_LINE.encode(), [])
    with pytest.raises(NoteMalformed):
        sign_note(b"no line break", NAME, LOG)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x\n1\n",
        SOFA[:-1],
        SOFA + b"extension\n",
        SOFA.replace(b"20852163", b"020852163"),
        SOFA.replace(b"20852163", b"+1"),
        SOFA.replace(b"20852163", b"9223372036854775808"),
        b"\n1\n" + SOFA[37:],
        SOFA.replace(b"2I=", b"2J="),
        SOFA.replace(b"2I=", b"2I"),
        SOFA.replace(b"behind-the", b"behind the"),
        SOFA.replace(b"example", b"ex+mple"),
        SOFA.replace(b"CsUY", b""),
        SOFA.replace(b"example", b"ex\xe4mple"),
    ],
)
def test_a_malformed_checkpoint_is_refused(body: bytes) -> None:
    with pytest.raises(NoteMalformed):
        parse_checkpoint_body(body)


def test_a_checkpoint_out_of_form_is_not_written() -> None:
    for name, size, root in (("", 1, bytes(32)), ("a b", 1, bytes(32)), ("a", -1, bytes(32)), ("a", 1, b"")):
        with pytest.raises(NoteMalformed):
            checkpoint_body(Checkpoint(name, size, root))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"old 1\n", b"old 01\n\nnote", b"old -1\n\nnote", b"new 1\n\nnote", b"old 1\nAAAA\n\nnote",
        b"old 1\n" + b"A" * 43 + b"B\n\nnote", b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\nnote",
        b"old \n\n",
        b"old 1\r\n\r\nnote", b"old 1\n\n" + b"x" * (200 * 1024),
    ],
)  # fmt: skip
def test_a_malformed_request_to_a_witness_is_refused(body: bytes) -> None:
    with pytest.raises(NoteMalformed):
        parse_add_checkpoint_request(body)


@pytest.mark.parametrize(
    "text",
    [
        "", PETER[:-1], PETER + "A", PETER.replace("c74f", "c74e"), PETER.replace("c74f", "C74F"), PETER[1:],
        PETER.replace("+ARpc", "+AhpC"), PETER.replace("+ARpc", "+ARpd"), "x+00000000+" + "A" * 44,
        "a b" + PETER[12:], "x" * 200 + PETER[12:], PETER.replace("PeterNeumann", ""),
    ],
)  # fmt: skip
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteKeyRefused):
        parse_vkey(text)


def test_verifier_keys_of_witnesses_have_their_own_kind_and_p256_has_none() -> None:
    text = vkey("w.example", WITNESS.verifying_key, COSIGNATURE)

    assert ("w.example", WITNESS.verifying_key, COSIGNATURE) == parse_vkey(text)
    with pytest.raises(NoteKeyRefused):
        vkey("w.example", samples.GATEWAY_P256.verifying_key)
    with pytest.raises(NoteKeyRefused):
        sign_note(BODY, NAME, samples.GATEWAY_P256)
    # A key of small order, for which one signature fits many notes.
    small = bytes([1]) + bytes([1]) + bytes(31)
    identity = hashlib.sha256(b"x\n" + small).digest()[:4].hex()
    with pytest.raises(NoteKeyRefused):
        parse_vkey(f"x+{identity}+{base64.b64encode(small).decode()}")
