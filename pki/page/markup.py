"""Markup in which text cannot become markup: every string is escaped unless `element` made it. Pure.

What comes out is well-formed XML and valid HTML at once, so that a strict parser can check a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from pki.printable import printable

# Elements without content, which HTML closes by itself and XML does not.
_VOID = frozenset({"meta", "br", "rect", "line", "circle", "path", "col"})
# Written by hand and never closed short: `<td/>` would be an open tag to HTML.


class Markup(str):
    """Text that is markup already; made by `element` and `joined` alone."""

    __slots__ = ()


Child = str | Markup
Attributes = Mapping[str, str | int | float]


def text(words: str) -> Markup:
    """Return words as markup: escaped, and without characters that cannot be printed."""
    return Markup(escape(printable(words), quote=True))


def prose(words: str) -> Markup:
    """Return a sentence whose commands stand between backticks, as status and findings write them."""
    parts = words.split("`")
    if len(parts) % 2 == 0:  # a backtick without its fellow is a character like any other
        return text(words)
    return joined(element("code", {}, part) if place % 2 else part for place, part in enumerate(parts))


def joined(children: Iterable[Child]) -> Markup:
    """Return children one after another; each string that is not markup is escaped."""
    return Markup("".join(child if isinstance(child, Markup) else text(child) for child in children))


def element(name: str, attributes: Attributes | None = None, *children: Child) -> Markup:
    """Return one element.

    Args:
        name: of the element; a word of this program.
        attributes: names are words of this program, values are escaped; numbers are written short.
        children: strings are escaped, markup is not.
    """
    written = "".join(
        f' {key}="{_number(value) if isinstance(value, float) else text(str(value))}"'
        for key, value in (attributes or {}).items()
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written} />")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def raw_style(css: str) -> Markup:
    """Return a style element; its text is not escaped, and so must be a constant of this program.

    Raises:
        ValueError: it could end the element, or is not XML as it stands.
    """
    if set(css) & set("<&"):
        raise ValueError("a style with < or & is not the same in HTML and XML")
    return Markup(f"<style>{css}</style>")


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
