"""HTML as plain text: markup goes, what a reader sees stays, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree  # type: ignore[attr-defined]  # it is compiled, and has no stubs

# fmt: off
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "dialog", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "legend", "li", "main", "nav", "ol", "p", "section", "summary", "table", "tbody", "tfoot", "thead", "tr",
    "ul",
))
# fmt: on
_UNSEEN = frozenset(("script", "style", "head", "title", "template", "noscript", "textarea", "select"))
_VERBATIM = frozenset(("pre", "listing", "xmp"))
_CELLS = frozenset(("td", "th"))
_all_text = etree.XPath("string()")
# libxml2 ends a text at NUL, and reads the other controls as errors.
_CONTROLS = dict.fromkeys((*range(9), 11, *range(14, 32), 127), None) | {12: " "}


def html_to_text(html: str, *, code_blocks: bool = True) -> str:
    """The text of an HTML fragment, entities resolved.

    Block elements and line breaks end a line; white space within a line is folded. Preformatted
    blocks keep their lines and indentation, or go where not `code_blocks`; code within a line always stays.
    No input fails: what is not well-formed is read as a browser would; text nested beyond libxml2's limit is lost.
    """
    html = html.translate(_CONTROLS)
    if not html.strip():
        return ""
    # Bytes, for lone surrogates are no text that libxml2 takes; a parser of its own, for threads share none.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True)
    root = etree.fromstring(b"<html><body>" + html.encode("utf-8", "replace"), parser)
    return "" if root is None else "\n".join(_lines(root, code_blocks))


def _lines(root: Any, code_blocks: bool) -> Iterator[str]:
    """The text line by line; a preformatted block is one item."""
    line: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, node in walk:
        tag = node.tag if event in ("start", "end") else None
        ends_line = tag in _BLOCKS or tag in _VERBATIM
        if ends_line:
            yield from _folded(line)
            line = []
        if event == "start":
            if tag in _VERBATIM:
                block = str(_all_text(node)).replace("\r\n", "\n").rstrip().lstrip("\n")
                if code_blocks and block:
                    yield block
                walk.skip_subtree()
            elif tag in _UNSEEN:
                walk.skip_subtree()
            else:
                line += (" " if tag in _CELLS else "", node.text or "")
        else:
            line.append(node.tail or "")
    yield from _folded(line)


def _folded(line: list[str]) -> Iterator[str]:
    text = " ".join("".join(line).split())
    if text:
        yield text
