import pytest

from pipelines.sources.stackexchange_posts import StackExchangeOptions, parse_link, parse_post


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"Id": "1"},
        {"Id": "x", "PostTypeId": "1", "Score": "1", "Title": "t", "Body": "b"},
        {"Id": "1", "PostTypeId": "1", "Score": "", "Title": "t", "Body": "b"},
        {"Id": "1", "PostTypeId": "1", "Score": "1", "Body": "b"},
        {"Id": "1", "PostTypeId": "1", "Score": "1", "Title": "t"},
        {"Id": "1", "PostTypeId": "2", "Score": "1", "Body": "b"},
        {"Id": "9" * 30, "PostTypeId": "1", "Score": "1", "Title": "t", "Body": "b"},
    ],
)
def test_a_post_without_what_it_needs_is_no_post(attributes):
    assert parse_post(attributes) == "missing_field"


def test_a_wiki_page_of_a_tag_is_left_aside_without_a_reason():
    assert parse_post({"Id": "1", "PostTypeId": "5", "Body": "b"}) is None


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ({"PostId": "9", "RelatedPostId": "2", "LinkTypeId": "3"}, (2, 9)),
        ({"PostId": "2", "RelatedPostId": "9", "LinkTypeId": "3"}, (2, 9)),
        ({"PostId": "2", "RelatedPostId": "9", "LinkTypeId": "1"}, None),
        ({"PostId": "2", "RelatedPostId": "2", "LinkTypeId": "3"}, "self_link"),
        ({"PostId": "2", "LinkTypeId": "3"}, "missing_field"),
        ({"PostId": "2", "RelatedPostId": "9"}, "missing_field"),
    ],
)
def test_a_link_is_of_duplicates_or_nothing(attributes, outcome):
    assert parse_link(attributes) == outcome


def test_bounds_that_cross_are_refused():
    with pytest.raises(ValueError, match="expected min <= max"):
        StackExchangeOptions(min_body_characters=9, max_body_characters=8)
