"""Posts of a StackExchange site, as its dump writes them."""

from __future__ import annotations

from html import escape

TITLE = "A title of over twenty characters"
BODY = "<p>A body of over twenty characters.</p>"


def row_xml(**attributes) -> str:
    return "<row " + " ".join(f'{name}="{escape(str(value))}"' for name, value in attributes.items()) + " />"


def question(id_: int, title=TITLE, body=BODY, score=1, **more) -> str:
    return row_xml(Id=id_, PostTypeId=1, Score=score, Body=body, Title=title, **more)


def answer(id_: int, parent: int, body=BODY, score=1) -> str:
    return row_xml(Id=id_, PostTypeId=2, ParentId=parent, Score=score, Body=body)
