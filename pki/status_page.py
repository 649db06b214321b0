"""The status as one self-contained HTML page: for people who read it on screen, print it, and file it. Pure.

Nothing is fetched and nothing runs: the content security policy allows one style, by its digest. Every text
that comes from a certificate or the ledger is escaped by construction (`page.markup`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime

from pki.compliance import SCOPE, STANDARD
from pki.inventory_findings import InventoryFinding
from pki.inventory_report import InventoryRow
from pki.ledger_history import LedgerHistory
from pki.page.drawing import MARKS, NARROW, WIDE, draw
from pki.page.lifetimes import LEAF_PAST_SHOWN_MAX, LEAVES_BEFORE_MAX, Panel, panels
from pki.page.markup import Child, Markup, element, joined, prose, raw_style
from pki.page.style import STYLE
from pki.page.tables import (
    findings_table,
    inventory_table,
    keeping_table,
    ledger_table,
    lives_table,
    requirements_table,
    rotations_table,
    status_tables,
)
from pki.report import moment, next_step, status_counts
from pki.status import Level, StatusLine

_SECTIONS = (
    ("status", "Status"),
    ("lives", "Lives"),
    ("findings", "Findings"),
    ("inventory", "Inventory"),
    ("rotations", "Rotations"),
    ("ledger", "Ledger"),
    ("keeping", "Cryptoperiods"),
    ("requirements", "Requirements"),
)


def status_page(
    *,
    trust_domain: str,
    lines: Sequence[StatusLine],
    rows: Sequence[InventoryRow],
    findings: Sequence[InventoryFinding],
    history: LedgerHistory,
    now: datetime,
) -> str:
    """Return the page.

    Args:
        trust_domain: of the authority.
        lines: from `status.judge`, and whatever else was judged.
        rows: from `inventory_rows`.
        findings: from `inventory_findings`.
        history: of the ledger.
        now: UTC; the moment that the page speaks of.
    """
    drawn = panels(rows, now)
    parts = {
        "status": status_tables(lines),
        "lives": _lives(drawn, now),
        "findings": findings_table(findings),
        "inventory": inventory_table(rows),
        "rotations": rotations_table(history.rotations),
        "ledger": ledger_table(history),
        "keeping": keeping_table(),
        "requirements": requirements_table(),
    }
    body = element(
        "main",
        {},
        _header(trust_domain, lines, findings, now),
        joined(
            element(
                "section",
                {"id": name, "aria-labelledby": f"{name}-title"},
                _heading(name, title),
                parts[name],
            )
            for name, title in _SECTIONS
        ),
        element(
            "footer",
            {},
            f"Read from the certificate tree and its ledger at {moment(now)}. Evidence for {STANDARD}, never "
            "proof of compliance.",
        ),
    )
    page = element("html", {"lang": "en", "xmlns": "http://www.w3.org/1999/xhtml"}, _head(trust_domain), body)
    return f"<!DOCTYPE html>\n{page}\n"


def content_security_policy() -> str:
    """Return the page's policy: nothing but its own style."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _head(trust_domain: str) -> Markup:
    return element(
        "head",
        {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": content_security_policy()}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("title", {}, f"Certificates of {trust_domain}"),
        raw_style(STYLE),
    )


def _header(
    trust_domain: str, lines: Sequence[StatusLine], findings: Sequence[InventoryFinding], now: datetime
) -> Markup:
    judged = max((line.level for line in lines), default=Level.FINE)
    level = max((judged, *(finding.level for finding in findings)))
    name = level.name.lower()
    todo = next_step(lines)
    if level > judged:
        todo = next(finding.sentence for finding in findings if finding.level is level)
    found = f"; {len(findings)} finding{'' if len(findings) == 1 else 's'} in the inventory"
    return joined(
        (
            element("div", {"class": "over"}, "Certificate authority"),
            element("h1", {}, trust_domain),
            element("p", {"class": "soft"}, f"As of {moment(now)}"),
            element(
                "div",
                {"class": f"sheet verdict {name}"},
                element("div", {"class": f"sign {name}", "aria-hidden": "true"}, MARKS[level]),
                element(
                    "div",
                    {},
                    element("strong", {}, f"{level.name.capitalize()}"),
                    element("p", {}, f"{status_counts(lines)}{found}"),
                    element("p", {}, element("b", {}, "Next: "), prose(todo)),
                ),
            ),
            element(
                "div",
                {"class": "sheet scope"},
                element("h2", {}, f"What this is evidence for: {STANDARD}, and how far it reaches"),
                element("ul", {}, *(element("li", {}, sentence) for sentence in SCOPE)),
            ),
            element(
                "nav",
                {"aria-label": "On this page"},
                *(element("a", {"href": f"#{anchor}"}, title) for anchor, title in _SECTIONS),
            ),
        )
    )


def _heading(name: str, title: str) -> Markup:
    return element("h2", {"id": f"{name}-title"}, title)


def _lives(drawn: Sequence[Panel], now: datetime) -> Markup:
    if not drawn:
        return element("p", {"class": "soft"}, "No certificate's validity is known.")
    words = (
        "Each bar is a life from not-before to not-after, its solid part what is left. Colours tell age, and "
        "red also what was revoked. Authorities live for years and workloads for days: each has its own "
        f"axis, in UTC. Thin strips are leaves of before: the last {LEAVES_BEFORE_MAX} of a workload, for "
        f"{LEAF_PAST_SHOWN_MAX.days} days."
    )
    return joined(
        (
            element("p", {"class": "soft"}, words),
            _legend(),
            element(
                "figure",
                {"aria-label": "Lives of certificates over time"},
                *(draw(panel, layout, now) for panel in drawn for layout in (WIDE, NARROW)),
            ),
            element("details", {}, element("summary", {}, "The same as a table"), lives_table(drawn)),
        )
    )


def _legend() -> Markup:
    def sample(word: str, *shapes: Child) -> Markup:
        drawing = element(
            "svg",
            {"viewBox": "0 0 28 12", "width": 28, "height": 12, "aria-hidden": "true",
             "xmlns": "http://www.w3.org/2000/svg"},
            *shapes,
        )  # fmt: skip
        return element("span", {}, drawing, word)

    def bar(kind: str) -> Markup:
        return element("rect", {"class": kind, "x": 0, "y": 1, "width": 28, "height": 10, "rx": 2})

    return element(
        "p",
        {"class": "legend"},
        sample("fine", bar("rest fine")),
        sample("due", bar("rest due")),
        sample("critical", bar("rest critical")),
        sample("lived already", bar("life fine")),
        sample("retired or before", bar("life past")),
        sample("renewal due", element("circle", {"class": "due-mark", "cx": 14, "cy": 6, "r": 3})),
        sample(
            "becomes critical",
            element("path", {"class": "critical-mark", "d": "M14 1.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z"}),
        ),
    )
