"""Groups of operations on the page, each with what it takes and answers (pure).

What every operation of a sort has, refusals and header fields, is folded away or told once, so that what is
an operation's own is seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.openapi.page_tables import (
    Document,
    answers_table,
    codes_of,
    codes_table,
    lines,
    members_table,
    parameters_table,
)
from pki.page.markup import Markup, element, joined, prose

# Sorts of operations, as the document's own shared refusals are named, to how a reader is told of them.
_SORTS = {"Public": "any public read", "Read": "any signed read", "Act": "any request that acts"}


def group(document: Document, tag: Mapping[str, str]) -> Markup:
    """Return a group of operations with its heading."""
    return element(
        "section",
        {"id": anchor(tag)},
        element("h2", {}, tag["name"]),
        element("p", {"class": "soft"}, tag["description"]),
        joined(
            _operation(document, method, path, described)
            for method, path, described in operations_of(document, tag["name"])
        ),
    )


def operations_of(document: Document, tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Return a group's operations: method, path, and the rest."""
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if tag in described["tags"]:
                yield method, path, described


def anchor(tag: Mapping[str, str]) -> str:
    """Return the id of a group's section."""
    return f"group-{tag['name'].lower()}"


def verb(method: str) -> Markup:
    """Return a method as a coloured word."""
    return element("span", {"class": f"verb {method}"}, method.upper())


def _operation(document: Document, method: str, path: str, described: Mapping[str, Any]) -> Markup:
    needs = [scope for each in described["security"][:1] for scope in each["signature"]]
    word = f"scope {needs[0]}" if needs else ("signed" if described["security"] else "public")
    if len(described["security"]) > 1:
        word += " or a token"
    name = described["operationId"]
    return element(
        "article",
        {"class": "sheet", "id": name},
        element("a", {"class": "name", "href": f"#{name}"}, name),
        element("h3", {}, verb(method), element("code", {}, path)),
        element("p", {}, element("span", {"class": "tag"}, word), prose(described["summary"]), "."),
        _taken(document, described),
        _answered(document, described),
    )


def _taken(document: Document, described: Mapping[str, Any]) -> Markup:
    parts: list[Markup] = []
    if parameters := [_resolved(document, each) for each in described.get("parameters", ())]:
        parts += [element("h4", {}, "Parameters"), parameters_table(parameters)]
    if body := described.get("requestBody"):
        [content] = body["content"].values()
        schema = _resolved(document, content["schema"])
        parts += [element("h4", {}, "Body"), members_table(schema)]
        parts.append(_example("An example of the body", content["example"]))
    return joined(parts)


def _answered(document: Document, described: Mapping[str, Any]) -> Markup:
    responses = {status: _resolved(document, each) for status, each in described["responses"].items()}
    sort = "Public" if not described["security"] else ("Act" if "requestBody" in described else "Read")
    shared = {
        name.removeprefix(sort): codes_of(each)
        for name, each in document["components"]["responses"].items()
        if name.startswith(sort)
    }
    codes = {status: codes_of(each) for status, each in responses.items()}
    own = {status: [c for c in found if c not in shared.get(status, ())] for status, found in codes.items()}
    return joined(
        (
            element("h4", {}, "Answers"),
            answers_table(responses, own),
            *(
                _example(f"An example of {status}", content["example"])
                for status, each in responses.items()
                for content in each.get("content", {}).values()
                if status.startswith("2") and "example" in content
            ),
            element(
                "details",
                {},
                element("summary", {}, f"Refusals that {_SORTS[sort]} can meet"),
                codes_table(shared),
            ),
        )
    )


def _example(title: str, example: object) -> Markup:
    text = json.dumps(example, indent=2, ensure_ascii=False)
    return element("details", {}, element("summary", {}, title), lines(text))


def _resolved(document: Document, value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - walks any JSON value
    """What a reference within the document points at, or the value itself."""
    if "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found
