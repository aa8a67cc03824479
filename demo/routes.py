"""The API of each module in the page's words: what it takes and gives, with a request to try."""

from __future__ import annotations

from typing import Any, NamedTuple


class Route(NamedTuple):
    """One route as the page describes it."""

    module: str
    method: str
    path: str
    does: str
    example: dict[str, Any] | None
    gives: str


ROUTES = (
    Route(
        "similarity",
        "POST",
        "/api/similarity",
        "Compares a text with others, by each encoder.",
        {"main": "A man is playing a guitar.", "others": ["Someone makes music.", "The shop is closed."]},
        "encoders: for each its name, whether it compares by cosine or dot product, and a score for each text.",
    ),
    Route(
        "answers",
        "POST",
        "/api/answers",
        "Ranks answers to a question by how likely each is among those given.",
        {"query": "How tall is Mount Fuji?", "answers": ["3,776 metres.", "It lies in Japan."]},
        "ranking: the answers' numbers, the likeliest first, with score and likelihood; likelihoods sum to 1.",
    ),
    Route(
        "search",
        "POST",
        "/api/search",
        "Finds the texts of the corpus that lie nearest to a query, or to text `number` of the corpus.",
        {"query": "read a file line by line", "hits": 5},
        "hits: number, score, dataset, source, and the text in pieces, marked where a word is the query's.",
    ),
    Route(
        "search",
        "POST",
        "/api/map",
        "Lays the neighbourhood of a query out in two dimensions, in clusters named by their words.",
        {"query": "read a file line by line", "points": 200},
        "points and clusters, with x and y from -1 to 1; and where the query lies.",
    ),
    Route("search", "GET", "/api/text/0", "One text of the corpus, whole.", None, "text, dataset and source."),
    Route(
        "bias",
        "POST",
        "/api/bias",
        "Says which of two gendered versions of a sentence an encoder puts nearer to it.",
        {
            "anchor": "The nurse said they were tired.",
            "female": "The nurse said she was tired.",
            "male": "The nurse said he was tired.",
        },
        "female and male: cosines; difference: female minus male; nearer: female, male or neither.",
    ),
    Route(
        "bias",
        "GET",
        "/api/bias/occupations",
        "The same over some forty occupations, six sentences each; ?encoder=NAME for another than the first.",
        None,
        "occupations: mean difference with its 95% interval, and the share of examples that prefer female.",
    ),
    Route(
        "corpus",
        "POST",
        "/api/batch",
        "What is in batch `step` of a mixture (its name, or datasets with weights): what the trainer reads.",
        {"mixture": "equal weights", "step": 7, "size": 32},
        "slots, rows (dataset, texts, tokens), masked pairs of rows, and packs: the texts in each row of tokens.",
    ),
    Route("all", "GET", "/api/state", "What is served: encoders, corpus, mixtures, limits.", None, "one object."),
)


def described() -> list[dict[str, Any]]:
    """The routes as the page asks for them."""
    return [route._asdict() for route in ROUTES]
