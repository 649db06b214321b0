"""The page is whole in one file, nothing in it runs or is fetched, and no text in it becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.compliance import NOT_SHOWN_HERE, REQUIREMENTS, SCOPE
from pki.inventory_findings import InventoryFinding, inventory_findings
from pki.inventory_reading import InventoryMaterial
from pki.inventory_report import inventory_rows
from pki.ledger import LedgerHead
from pki.ledger_history import LedgerHistory
from pki.page import tables
from pki.page.markup import element, joined, prose, raw_style, text
from pki.page.style import STYLE
from pki.printable import printable
from pki.status import Level, StatusLine
from pki.status_page import content_security_policy, status_page
from tests.unit.pki.written_ledger import NOW, POLICY, begun_ledger, leaf, leaf_material, material, serial

OLD = leaf("gateway", 7, age=timedelta(days=10))
LEAF = leaf("gateway", 8)
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "div", "h1", "h2",
    "h3", "p", "b", "strong", "small", "span", "ul", "li", "nav", "a",
    "section", "table", "thead", "tbody", "tr", "th", "td", "code", "footer", "figure",
    "details", "summary", "svg", "g", "rect", "line", "circle", "path", "text",
}  # fmt: skip


def tree() -> InventoryMaterial:
    ledger = begun_ledger().sign_leaf(OLD, policy=POLICY).sign_leaf(LEAF, policy=POLICY)
    ledger.add("rotation-began", NOW, kind="root", command="rotate root")
    ledger.add("rotation-stage", NOW + timedelta(seconds=4), kind="root", stage="trust-both")
    ledger.add("rotation-ended", NOW + timedelta(seconds=64), kind="root")
    return material(ledger, leaf_material(LEAF))


def page(
    *lines: StatusLine, found: InventoryMaterial | None = None, findings: list[InventoryFinding] | None = None
) -> str:
    found = found or tree()
    rows = inventory_rows(found, NOW)
    return status_page(
        trust_domain=found.trust_domain,
        lines=lines,
        rows=rows,
        findings=inventory_findings(rows, found.history, NOW) if findings is None else findings,
        history=found.history,
        now=NOW,
    )


def parsed(html: str) -> ET.Element:
    return ET.fromstring(html)


def tags(html: str) -> Counter[str]:
    return Counter(found.tag.rpartition("}")[2] for found in parsed(html).iter())


def words(html: str) -> str:
    return "".join(parsed(html).itertext())


def line(
    text: str = "gateway", advice: str = "", level: Level = Level.FINE, group: str = "workloads"
) -> StatusLine:
    return StatusLine(group, text, level, NOW + timedelta(days=3), 42, advice)


def test_the_page_says_verdict_next_step_and_scope() -> None:
    said = words(page(line(), line("edge", "due: run `python -m pki issue edge`", Level.DUE)))

    assert "1 due, 1 fine; 0 findings in the inventory" in said
    assert "Next: edge: due: run python -m pki issue edge" in said
    assert all(sentence in said for sentence in SCOPE)


def test_a_finding_outweighs_a_fine_status() -> None:
    alien = material(begun_ledger(), leaf_material(LEAF))
    html = page(line(), found=alien)

    assert "sheet verdict critical" in html
    assert "Next: live/gateway/gen-0001 holds serial number" in words(html)


def test_every_certificate_rotation_and_requirement_is_on_the_page() -> None:
    said = words(page(line()))

    assert all(serial(certificate) in said for certificate in (OLD, LEAF))
    assert all(known in said for known in tree().history.issued)
    assert "trust-both +4 s" in said
    assert "1 min 4 s" in said
    assert tree().history.head.digest in said
    assert all(requirement.asks in said for requirement in REQUIREMENTS)
    assert all(number in said for number, _ in NOT_SHOWN_HERE)


def test_an_empty_authority_has_a_page() -> None:
    nothing = InventoryMaterial("x.y", (), (), LedgerHistory(None, LedgerHead()))
    said = words(page(found=nothing))

    assert "No certificate's validity is known." in said
    assert "The ledger holds no rotation." in said


def test_a_broken_ledger_is_said_to_be_broken() -> None:
    broken = replace(tree(), history=LedgerHistory("line 3 was altered", LedgerHead()))

    assert "The ledger does not verify: line 3 was altered" in words(page(line(), found=broken))


def test_nothing_runs_and_nothing_is_fetched() -> None:
    html = page(line(), line("edge", "expired", Level.CRITICAL))
    attributes = {name for found in parsed(html).iter() for name in found.attrib}
    addresses = set(re.findall(r"https?://[^\"'\s]+", html))

    assert set() == set(tags(html)) - ALLOWED
    assert set() == {
        name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")
    }
    assert {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"} == addresses
    assert {"#"} == {found.attrib["href"][0] for found in parsed(html).iter() if "href" in found.attrib}
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    class Styles(HTMLParser):
        inside = False
        found = ""

        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's own names
            self.inside = tag == "style"

        def handle_data(self, data: str) -> None:
            self.found += data if self.inside else ""

        def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the same
            self.inside = False

    styles = Styles()
    styles.feed(page(line()))
    digest = base64.b64encode(hashlib.sha256(styles.found.encode()).digest()).decode()

    assert f"default-src 'none'; style-src 'sha256-{digest}'" in content_security_policy()
    assert f'content="{text(content_security_policy())}"' in page(line())


def test_the_past_beyond_a_thousand_rows_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PAST_ROWS_MAX", 0)

    assert "and 1 of the past, which python -m pki inventory --json lists" in words(page(line()))


def test_every_anchor_leads_somewhere_and_no_id_is_there_twice() -> None:
    html = page(line())
    ids = [found.attrib["id"] for found in parsed(html).iter() if "id" in found.attrib]
    anchors = {found.attrib["href"][1:] for found in parsed(html).iter() if "href" in found.attrib}

    assert len(set(ids)) == len(ids)
    assert anchors <= set(ids)


_NASTY = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "</style>",
          "]]>", "<!--", "&lt;", "\x1b[2J", "\ud800", "\x00"]  # fmt: skip
_HOSTILE = st.sampled_from(_NASTY) | st.text(max_size=30)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(_HOSTILE, _HOSTILE, _HOSTILE)
def test_no_text_of_any_field_becomes_markup(first: str, second: str, third: str) -> None:
    def made(first: str, second: str, third: str) -> str:
        found = tree()
        row = replace(
            inventory_rows(found, NOW)[-1],
            subject=first,
            spiffe_id=second,
            serial=third,
            issuer=first,
            custody=second,
            policy=third,
            place=first,
            requirements=(second,),
        )
        rotation = replace(found.history.rotations[0], kind=second, actor=second, command=third)
        entry = replace(found.history.issued[serial(LEAF)], policy=third)
        history = replace(
            found.history, rotations=(replace(rotation, stages=((first, NOW),)),), issued={first: entry}
        )
        return status_page(
            trust_domain=second,
            lines=[line(first, second, Level.DUE, third)],
            rows=[row],
            findings=[InventoryFinding(first, second, third, Level.CRITICAL, (second,))],
            history=history,
            now=NOW,
        )

    hostile, harmless = made(first, second, third), made("a", "b", "c")
    counted, expected = tags(hostile), tags(harmless)
    counted.pop("code"), expected.pop("code")  # commands between backticks are set as code

    assert expected == counted
    hostile.encode()
    said = words(hostile)
    assert printable(first) in said
    assert second.count("`") % 2 == 1 or printable(second.replace("`", "")) in said.replace("`", "")


@given(st.text())
def test_text_survives_a_parser_unchanged(words: str) -> None:
    assert printable(words) == (ET.fromstring(element("p", {}, words)).text or "")


@given(st.text())
def test_an_attribute_survives_a_parser_unchanged(words: str) -> None:
    assert printable(words) == ET.fromstring(element("p", {"title": words})).attrib["title"]


def test_commands_between_backticks_are_set_as_code() -> None:
    assert "run <code>a&lt;b</code> now" == prose("run `a<b` now")
    assert "5` &lt; 6" == prose("5` < 6")


def test_markup_is_not_escaped_twice() -> None:
    assert "<p><b>x</b>&amp;</p>" == element("p", {}, element("b", {}, "x"), "&")
    assert "&lt;b&gt;<i></i>" == joined(("<b>", element("i")))


def test_a_style_that_could_end_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="style"):
        raw_style("p{} </style>")
