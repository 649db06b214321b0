"""The quick way through a ledger accepts exactly what the thorough way accepts."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import LedgerError
from pki.ledger import Attribution, LedgerHead, ledger_line, verify_ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY = Attribution("uid 0", "issue --all", "none")
TEXTS = st.text(max_size=12) | st.sampled_from(['","hash":"', "\\", '"', "\x7f", "é", "hash"])
FIELDS = st.dictionaries(
    st.sampled_from(["serial", "list", "reason", "zeal", "a b", 'q"', "é"]),
    TEXTS | st.integers(-(10**20), 10**20),
    max_size=4,
)


def chain(*all_fields: dict[str, str | int]) -> list[str]:
    head, lines = LedgerHead(), []
    for fields in all_fields:
        line, head = ledger_line(head, event="noted", by=BY, now=NOW, fields=fields)
        lines.append(line)
    return lines


def respelled(line: str, old: str, new: str) -> str:
    """Return the line with a part spelled otherwise, under a digest that fits these very bytes."""
    bare = line.replace(f',"hash":"{json.loads(line)["hash"]}"', "", 1).replace(old, new, 1)
    digest = hashlib.sha256(bare.encode()).hexdigest()
    return bare.replace(',"policy"', f',"hash":"{digest}","policy"', 1)


@given(st.lists(FIELDS, min_size=1, max_size=6))
def test_every_line_that_can_be_written_verifies_and_reads_back(fields: list[dict[str, str | int]]) -> None:
    # Twice, so that each shape has been learnt when it comes again.
    found = verify_ledger(chain(*fields, *fields))

    assert 2 * len(fields) == found.head.seq
    assert [*fields, *fields] == [
        {name: entry[name] for name in wanted}
        for wanted, entry in zip([*fields, *fields], found.entries, strict=True)
    ]


@given(FIELDS)
def test_every_line_is_the_canonical_json_that_its_digest_is_of(fields: dict[str, str | int]) -> None:
    line = chain(fields)[0]
    entry = json.loads(line)
    bare = {name: value for name, value in entry.items() if name != "hash"}
    canonical = json.dumps(bare, sort_keys=True, separators=(",", ":"))

    assert hashlib.sha256(canonical.encode()).hexdigest() == entry["hash"]
    assert json.dumps(entry, sort_keys=True, separators=(",", ":")) == line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"event":', '"event": '),
        ('"count":7', '"count":07'),
        ('"count":7', '"count":-0'),
        ('"count":7', '"count":7.0'),
        ('"count":7', '"count":true'),
        ('"count":7', '"count":' + "9" * 5000),
        ('"count":7', '"count":7,"count":7'),
        ('"reason":"plain"', '"reason":"pl\\u0061in"'),
        ('"reason":"plain"', '"reason":"pläin"'),
        ('{"actor"', '{"zz":1,"actor"'),
        ('"ts":"2026-03-01', '"ts":"2026-13-01'),
    ],
)
def test_another_spelling_is_refused_though_its_digest_fits(old: str, new: str) -> None:
    fields: dict[str, str | int] = {"count": 7, "reason": "plain"}
    lines = chain(fields, fields)

    assert lines[1] != respelled(lines[1], old, new)
    assert lines[1] == respelled(lines[1], old, old)
    with pytest.raises(LedgerError, match="line 2"):
        verify_ledger([lines[0], respelled(lines[1], old, new)])


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_changed_character_is_noticed_in_a_known_shape(place: int) -> None:
    fields: dict[str, str | int] = {"count": 7, "reason": "plain"}
    lines = chain(fields, fields, fields)
    at = place % len(lines[2])
    altered = lines[2][:at] + ("x" if lines[2][at] != "x" else "y") + lines[2][at + 1 :]

    with pytest.raises(LedgerError, match="line 3"):
        verify_ledger([*lines[:2], altered])
