from pipelines.filters.degenerate import ONLY_URLS, REPEATED
from schemas.pair import Pair


def test_a_reason_names_the_side():
    assert ONLY_URLS(Pair("d", "a", "http://b.example")) == "positive_only_urls"
    assert REPEATED(Pair("d", "z" * 20, "b")) == "anchor_repeated"
