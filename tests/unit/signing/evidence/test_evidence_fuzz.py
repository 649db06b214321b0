"""Whatever bytes come in, what comes out is a value or one of the listed refusals, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing.evidence import (
    pack,
    parse_add_checkpoint_request,
    parse_checkpoint_body,
    parse_entry,
    parse_note,
    parse_tile_path,
    parse_trust,
    parse_vkey,
    unpack,
    verify_bundle,
    write_trust,
)
from signing.evidence.errors import EvidenceRefused
from signing.evidence.layout import parse_history, parse_proof
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.evidence.bundle_samples import plain_world, resign

WORLD = plain_world()
FILES, TRUST = WORLD.files(), WORLD.trust()
NOTE = FILES["checkpoint"]
PARSERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (parse_entry, FILES["payment/entry"]),
    (parse_note, NOTE),
    (parse_checkpoint_body, NOTE.partition(b"\n\n")[0] + b"\n"),
    (parse_add_checkpoint_request, b"old 5\n" + b"A" * 43 + b"=\n\n" + NOTE),
    (parse_trust, write_trust(TRUST)),
    (parse_proof, FILES["payment/proof"]),
    (parse_history, FILES["history"]),
    (unpack, pack(FILES, "countermark-evidence-pay_eu_01")),
    (lambda octets: parse_tile_path(octets.decode("utf-8", "surrogateescape")), b"tile/0/x001/234.p/7"),
    (lambda octets: parse_vkey(octets.decode("utf-8", "surrogateescape")), b"x+00000000+" + b"A" * 44),
]
PIECES = st.sampled_from(
    [b"", b"\n", b"\n\n", b" ", b"0", b"-", b"=", b"\0", b"\xe2\x80\x94 ", b"9" * 25]
) | st.binary(max_size=12)


def mutated(data: st.DataObject, good: bytes) -> bytes:
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 40)))
    return good[:start] + data.draw(PIECES) + good[end:]


@pytest.mark.parametrize(("parse", "good"), PARSERS)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_bytes_make_a_parser_raise_anything_else(
    parse: Callable[[bytes], object], good: bytes, data: st.DataObject
) -> None:
    for octets in (mutated(data, good), data.draw(st.binary(max_size=200))):
        with suppress(EvidenceRefused):
            parse(octets)


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_no_file_makes_the_verification_raise_anything_else_even_if_the_gateway_signed_it(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    files = resign({**FILES, name: mutated(data, FILES[name])}, samples.GATEWAY_P256)
    with suppress(EvidenceRefused):
        verify_bundle(files, TRUST)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(FILES)) | st.text(max_size=20), st.binary(max_size=50)))
def test_no_set_of_files_is_accepted_or_breaks_the_verification(files: dict[str, bytes]) -> None:
    with pytest.raises(EvidenceRefused):
        verify_bundle(files, TRUST)
