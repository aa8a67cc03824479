"""A row of a Reddit dump, as the tests of its source change it."""

from __future__ import annotations


def make_row(**changes) -> dict:
    row = {
        "id": "c1",
        "link_id": "t3_abc",
        "parent_id": "t3_abc",
        "body": "long enough to keep",
        "retrieved_on": 5,
    }
    return {**row, **changes}
