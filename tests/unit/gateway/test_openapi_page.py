from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import re
from xml.etree import ElementTree as ET

from gateway.api.problems import PROBLEMS
from gateway.openapi.document import build_document
from gateway.openapi.page import api_page, content_security_policy

XHTML = "{http://www.w3.org/1999/xhtml}"
DOCUMENT = build_document(["https://pay.countermark.example"])
PAGE = api_page(DOCUMENT)
TREE = ET.fromstring(PAGE.removeprefix("<!DOCTYPE html>\n"))


def elements(name: str) -> list[ET.Element]:
    return list(TREE.iter(XHTML + name))


def test_nothing_runs_and_nothing_is_fetched() -> None:
    fetching = ("script", "img", "link", "iframe", "object", "embed", "form", "base", "svg")

    assert [] == [each for name in fetching for each in elements(name)]
    assert [] == [each.attrib for each in TREE.iter() if any(name.startswith("on") for name in each.attrib)]
    assert [] == [each.attrib for each in TREE.iter() if "style" in each.attrib or "src" in each.attrib]


def test_the_policy_allows_the_pages_own_style_alone() -> None:
    [style] = elements("style")
    digest = base64.b64encode(hashlib.sha256((style.text or "").encode()).digest()).decode()

    assert f"default-src 'none'; style-src 'sha256-{digest}'" in content_security_policy()
    assert "@import" not in (style.text or "")
    assert "url(" not in (style.text or "")


def test_every_link_leads_to_something_on_the_page_or_to_the_document() -> None:
    anchors = [each.attrib["id"] for each in TREE.iter() if "id" in each.attrib]
    targets = {each.attrib["href"] for each in elements("a")}

    assert len(set(anchors)) == len(anchors)
    assert {"/.well-known/countermark-openapi.json"} == {each for each in targets if not each.startswith("#")}
    assert set() == {each[1:] for each in targets if each.startswith("#")} - set(anchors)


def test_every_operation_structure_and_problem_is_shown() -> None:
    text = "".join(TREE.itertext())
    anchors = {each.attrib["id"] for each in TREE.iter() if "id" in each.attrib}
    operations = {each["operationId"] for methods in DOCUMENT["paths"].values() for each in methods.values()}

    assert operations <= anchors
    assert {f"schema-{name}" for name in DOCUMENT["components"]["schemas"]} <= anchors
    assert {f"problem-{code}" for code in PROBLEMS} <= anchors
    assert all(path in text for path in DOCUMENT["paths"])


def test_headings_are_in_order() -> None:
    levels = [
        int(each.tag[-1]) for each in TREE.iter() if re.fullmatch(rf"{re.escape(XHTML)}h[1-6]", each.tag)
    ]

    assert 1 == levels[0]
    assert 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_text_of_the_document_cannot_become_markup() -> None:
    hostile = copy.deepcopy(DOCUMENT)
    hostile["info"]["title"] = hostile["paths"]["/v1/payments"]["post"]["summary"] = (
        "<script>alert(1)</script>&"
    )

    page = api_page(hostile)

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in page
