"""Tables of the page, made one way: headings for screen readers, a label on each cell for narrow screens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pki.compliance import NOT_SHOWN_HERE, REQUIREMENTS, STANDARD, facts_for, keeping
from pki.inventory_findings import InventoryFinding
from pki.inventory_printing import UNKNOWN, key_words, row_words, short_digest
from pki.inventory_report import PAST, InventoryRow
from pki.ledger_history import LedgerHistory, RotationEntry
from pki.page.drawing import MARKS
from pki.page.lifetimes import Panel, span_words
from pki.page.markup import Attributes, Child, Markup, element, joined, prose
from pki.report import in_groups, moment
from pki.status import StatusLine

# A thousand of the past are a megabyte of page; the rest is in the JSON, and the page says so.
PAST_ROWS_MAX = 1000
_BAR_WIDTH, _BAR_HEIGHT = 104, 8


def status_tables(lines: Iterable[StatusLine]) -> Markup:
    """Return the status as it is printed: a heading and a table for each group."""
    return joined(
        joined((element("h3", {}, group), element("table", {"class": "lines"}, _status_rows(members))))
        for group, members in in_groups(lines).items()
    )


def inventory_table(rows: Sequence[InventoryRow]) -> Markup:
    """Return every certificate, except the oldest of the past where there are more than `PAST_ROWS_MAX`."""
    past = [row for row in rows if row.place is None and row.state in PAST]
    left_out = {id(row) for row in sorted(past, key=_end, reverse=True)[PAST_ROWS_MAX:]}
    shown = [row for row in rows if id(row) not in left_out]
    headings = ("Certificate", "State", "Serial number", "Valid", "Key held by", "Last rotated", "Revoked",
                "Evidence for")  # fmt: skip
    made = table(headings, (_inventory_cells(row) for row in shown), [_row_class(row) for row in shown])
    note = f"and {len(left_out)} of the past, which `python -m pki inventory --json` lists"
    return joined((made, element("p", {"class": "soft"}, prose(note)))) if left_out else made


def findings_table(findings: Sequence[InventoryFinding]) -> Markup:
    """Return what is wrong; or that nothing is."""
    if not findings:
        return element("p", {}, "√ Disk and ledger agree, and no key lies open.")
    return table(
        ("", "What", "Touches"),
        (
            (
                element("span", {"class": f"mark {finding.level.name.lower()}"}, MARKS[finding.level]),
                joined((prose(finding.sentence), element("small", {}, finding.code))),
                _tags(finding.requirements),
            )
            for finding in findings
        ),
    )


def rotations_table(rotations: Sequence[RotationEntry]) -> Markup:
    """Return the rotations, newest first, each with its stages and their distance from the beginning."""
    if not rotations:
        return element("p", {"class": "soft"}, "The ledger holds no rotation.")
    return table(
        ("Kind", "Began", "Took", "Stages", "By"),
        (
            (
                rotation.kind or UNKNOWN,
                UNKNOWN if rotation.began is None else moment(rotation.began),
                joined((_duration(rotation), element("small", {}, rotation.outcome or ""))),
                joined(_stages(rotation)),
                joined((rotation.actor or UNKNOWN, element("small", {}, rotation.command or UNKNOWN))),
            )
            for rotation in reversed(rotations)
        ),
    )


def ledger_table(history: LedgerHistory) -> Markup:
    """Return the ledger's head and what is unfinished; or why it does not verify."""
    if history.fault is not None:
        return element("p", {}, f"× The ledger does not verify: {history.fault}. Keep the file as evidence.")
    policies = {entry.policy for entry in history.issued.values()}
    known = sorted(policy for policy in policies if policy is not None)
    facts: list[tuple[Child, Child]] = [
        ("Lines that follow one another", str(history.head.seq)),
        ("Head, to be kept where this machine cannot write", element("code", {}, history.head.digest)),
        ("Certificates signed", str(len(history.issued))),
        ("Certificates revoked", str(len(history.revoked))),
        ("Intents without a result", ", ".join(f"line {line}" for line in history.unfinished) or "none"),
        (
            "Policies signed under",
            joined(element("code", {}, policy) for policy in known) if known else UNKNOWN,
        ),
    ]
    return table(("Fact", "Value"), facts)


def requirements_table() -> Markup:
    """Return which facts are evidence for which requirement, and what is not shown at all."""
    mapped = table(
        (STANDARD, "Asks, in our words", "Applies", "Evidence shown here"),
        (
            (
                requirement.number,
                requirement.asks,
                _whole("literally" if requirement.literal else "by policy"),
                joined(element("div", {}, fact.value) for fact in facts_for(requirement.number)),
            )
            for requirement in REQUIREMENTS
        ),
    )
    absent = table(("Not shown here", "Where to look"), NOT_SHOWN_HERE)
    return joined((mapped, element("h3", {}, "Asked of the same people, and not shown here"), absent))


def keeping_table() -> Markup:
    """Return the cryptoperiods and how long things are kept."""
    return table(
        ("What", "Lives", "Renewal due after", "Kept afterwards"),
        ((entry.kind, entry.lives, entry.due, entry.kept) for entry in keeping()),
    )


def lives_table(panels: Iterable[Panel]) -> Markup:
    """Return what the plot shows, as a table."""
    lives = [
        life
        for panel in panels
        for lane in panel.lanes
        for life in (*((lane.now,) if lane.now else ()), *lane.before)
        if life.end > panel.begin
    ]
    return table(
        ("Certificate", "State", "From", "Renewal due", "Critical", "To"),
        (
            (
                joined((life.row.subject or UNKNOWN, element("small", {}, life.row.serial or UNKNOWN))),
                life.row.state,
                moment(life.begin),
                "-" if life.past else moment(life.due),
                "-" if life.past else moment(life.critical),
                moment(life.end),
            )
            for life in lives
        ),
    )


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Child]], classes: Sequence[str] | None = None
) -> Markup:
    """Return one table.

    Args:
        headings: of the columns; empty where the cells speak for themselves.
        rows: cells, as many as headings.
        classes: one for each row; None for none.
    """
    head = element("tr", {}, *(element("th", {"scope": "col"}, heading) for heading in headings))
    body = [
        element(
            "tr",
            {"class": classes[place]} if classes else {},
            *(
                element("td", {"data-label": heading}, cell)
                for heading, cell in zip(headings, cells, strict=True)
            ),
        )
        for place, cells in enumerate(rows)
    ]
    return element("table", {"class": "cards"}, element("thead", {}, head), element("tbody", {}, *body))


def life_bar(percent: int, level: str) -> Markup:
    """Return how much of a life is left as a small drawing."""
    width = _BAR_WIDTH * min(100, max(0, percent)) / 100
    whole: Attributes = {"class": "bar-all", "width": _BAR_WIDTH, "height": _BAR_HEIGHT, "rx": 4}
    rest: Attributes = {"class": f"bar-rest {level}", "width": width, "height": _BAR_HEIGHT, "rx": 4}
    box: Attributes = {
        "viewBox": f"0 0 {_BAR_WIDTH} {_BAR_HEIGHT}",
        "width": _BAR_WIDTH,
        "height": _BAR_HEIGHT,
        "preserveAspectRatio": "none",
        "aria-hidden": "true",
        "xmlns": "http://www.w3.org/2000/svg",
    }
    return element("svg", box, element("rect", whole), element("rect", rest))


def _status_rows(lines: Iterable[StatusLine]) -> Markup:
    rows = []
    for line in lines:
        level, percent = line.level.name.lower(), line.left_percent
        mark = element("span", {"class": f"mark {level}", "title": level}, MARKS[line.level])
        cells: tuple[tuple[str, Child], ...] = (
            ("sign", mark),
            ("what", line.what),
            ("until", "" if line.until is None else f"until {moment(line.until)}"),
            ("bar", "" if percent is None else life_bar(percent, level)),
            ("percent", "" if percent is None else f"{percent} %"),
            ("advice", prose(line.advice)),
        )
        rows.append(element("tr", {}, *(element("td", {"class": kind}, cell) for kind, cell in cells)))
    return element("tbody", {}, *rows)


def _inventory_cells(row: InventoryRow) -> tuple[Child, ...]:
    words = row_words(row)
    spiffe_id = UNKNOWN if row.spiffe_id is None else row.spiffe_id or row.role
    holder: Child = words.custody
    if row.key is not None:
        holder = joined((key_words(row.key), element("small", {}, words.custody)))
    return (
        joined(
            (
                element("strong", {}, row.subject or UNKNOWN),
                element("small", {}, spiffe_id),
                element("small", {}, f"signed by {words.issuer}"),
                element("small", {}, words.place),
            )
        ),
        joined(_state_words(row)),
        element("div", {"class": "serial"}, element("code", {}, words.serial)),
        joined((_whole(words.begins), element("div", {}, _whole(words.ends)))),
        holder,
        joined((_whole(words.rotated), element("small", {}, f"policy {short_digest(words.policy)}"))),
        words.revoked,
        element("small", {}, ", ".join(row.requirements)),
    )


def _state_words(row: InventoryRow) -> Iterable[Markup]:
    words = row_words(row)
    yield element("span", {"class": f"tag {row.state.partition(' ')[0]}"}, row.state)
    if row.recorded is not True:
        yield element("small", {}, f"in the ledger: {words.recorded}")
    if row.role == "leaf" and row.state == "current":
        yield element("small", {}, f"on the wire: {words.on_wire}")


def _whole(words: str) -> Markup:
    return element("span", {"class": "whole"}, words)


def _row_class(row: InventoryRow) -> str:
    return "past" if row.state in PAST else "now"


def _end(row: InventoryRow) -> float:
    return row.not_after.timestamp() if row.not_after is not None else 0.0


def _tags(numbers: Iterable[str]) -> Markup:
    return joined(element("span", {"class": "tag"}, number) for number in numbers)


def _duration(rotation: RotationEntry) -> str:
    if rotation.ended is None:
        return "not ended"
    return UNKNOWN if rotation.began is None else span_words(rotation.ended - rotation.began)


def _stages(rotation: RotationEntry) -> Iterable[Markup]:
    for stage, at in rotation.stages:
        after = UNKNOWN if at is None or rotation.began is None else f"+{span_words(at - rotation.began)}"
        yield element("div", {}, joined((f"{stage} ", element("span", {"class": "soft"}, after))))
