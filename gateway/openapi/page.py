"""The document as one self-contained HTML page: readable on a phone, on paper and without scripts (pure).

Nothing is fetched and nothing runs: the content security policy allows one style, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from gateway.api.surface import DOCUMENT
from gateway.openapi.page_operations import anchor, group, operations_of
from gateway.openapi.page_style import STYLE
from gateway.openapi.page_tables import Document, fields_table, lines, members_table, problems_table
from gateway.openapi.signing_example import signing_example
from pki.page.markup import Markup, element, joined, prose, raw_style

# What stands behind the operations: anchors and titles.
_REFERENCE: Final = (
    ("fields", "Header fields of answers"),
    ("problems", "Refusals"),
    ("schemas", "Structures"),
)


def api_page(document: Document) -> str:
    """Return the page of a document."""
    body = element(
        "div",
        {"class": "frame"},
        _header(document),
        _navigation(document),
        element(
            "main",
            {},
            _signing(document),
            joined(group(document, tag) for tag in document["tags"]),
            joined(
                element("section", {"id": name}, element("h2", {}, title), shown(document))
                for (name, title), shown in zip(_REFERENCE, (_fields, _problems, _schemas), strict=True)
            ),
        ),
        element("footer", {}, "Made from the types that decode and encode the bodies."),
    )
    head = element(
        "head",
        {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", {}, f"{document['info']['title']}: the merchants' interface"),
        raw_style(STYLE),
    )
    page = element(
        "html", {"lang": "en", "xmlns": "http://www.w3.org/1999/xhtml"}, head, element("body", {}, body)
    )
    return f"<!DOCTYPE html>\n{page}\n"


def content_security_policy() -> str:
    """Return the page's policy: nothing but its own style, in no frame."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _header(document: Document) -> Markup:
    info = document["info"]
    paragraphs = [prose(" ".join(each.split())) for each in info["description"].split("\n\n")]
    servers = [each["url"] for each in document["servers"] if each["url"] != "/"]
    return element(
        "header",
        {},
        element("h1", {}, info["title"]),
        element(
            "p",
            {"class": "soft"},
            f"{info['summary']} Version ",
            element("code", {"class": "whole"}, info["version"]),
            ". ",
            element("a", {"href": DOCUMENT.path}, "As an OpenAPI 3.1 document"),
        ),
        joined(element("p", {}, each) for each in paragraphs),
        element("p", {}, "At ", joined(element("code", {}, f"{each} ") for each in servers))
        if servers
        else "",
    )


def _navigation(document: Document) -> Markup:
    parts = [_heading("signing", "Signing")]
    for tag in document["tags"]:
        links = [
            element(
                "li", {}, element("a", {"href": f"#{described['operationId']}"}, described["operationId"])
            )
            for _, _, described in operations_of(document, tag["name"])
        ]
        parts.append(element("div", {}, _heading(anchor(tag), tag["name"]), element("ul", {}, joined(links))))
    parts += [_heading(name, title) for name, title in _REFERENCE]
    return element("nav", {"aria-label": "Contents"}, joined(parts))


def _heading(target: str, title: str) -> Markup:
    return element("strong", {}, element("a", {"href": f"#{target}"}, title))


def _signing(document: Document) -> Markup:
    schemes = document["components"]["securitySchemes"].values()
    kept = document["x-idempotency"]
    origins = [each["url"] for each in document["servers"] if each["url"] != "/"]
    example = signing_example(origins[0] if origins else None)
    return element(
        "section",
        {"id": "signing"},
        element("h2", {}, "Signing"),
        element(
            "div",
            {"class": "sheet"},
            joined(
                element(
                    "p",
                    {},
                    element("code", {}, each.get("name", "Authorization")),
                    ": ",
                    prose(" ".join(each["description"].split())),
                )
                for each in schemes
            ),
            element(
                "p",
                {},
                element("code", {}, kept["header"]),
                f": the same answer for {kept['answer_kept_days']} days; afterwards, until day "
                f"{kept['key_refused_days']}, a refusal; never a second act.",
            ),
            element("h3", {}, "A request"),
            lines(example.request),
            element("h3", {}, "What its signature is over"),
            lines(example.signature_base),
        ),
    )


def _fields(document: Document) -> Markup:
    return element("div", {"class": "sheet"}, fields_table(document["components"]["headers"]))


def _problems(document: Document) -> Markup:
    schema = document["components"]["schemas"]["Problem"]
    return joined(
        (
            element("p", {"class": "soft"}, prose(schema["description"])),
            element("div", {"class": "sheet"}, problems_table()),
        )
    )


def _schemas(document: Document) -> Markup:
    return joined(
        element(
            "article",
            {"class": "sheet", "id": f"schema-{name}"},
            element("h3", {}, name),
            element("p", {"class": "soft"}, prose(schema.get("description", ""))),
            members_table(schema),
        )
        for name, schema in document["components"]["schemas"].items()
    )
