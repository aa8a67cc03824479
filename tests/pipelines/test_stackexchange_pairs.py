import xml.etree.ElementTree as ElementTree  # the independent reading

import pytest

from pipelines.funnel import Drop, Read
from pipelines.sources.stackexchange import ROWS, StackExchange
from pipelines.sources.stackexchange_pairs import choose_answers
from pipelines.sources.stackexchange_posts import Post, StackExchangeOptions, parse_post
from schemas.pair import Pair
from tests.pipelines.stackexchange_xml import BODY, answer, question

BY_NAME = {row.info.name: row for row in ROWS}


def posts_of(*rows: str) -> list[tuple[int, Post]]:
    found = [parse_post(ElementTree.fromstring(row).attrib) for row in rows]
    return [parsed for parsed in found if isinstance(parsed, tuple)]


def judged(row: StackExchange, *rows: str) -> list:
    _, pair = row.stages((row.info._replace(name="d"),))
    return list(pair(("tea/1", [list(post) for _, post in posts_of(*rows)])))


def text(letter: str) -> str:
    return letter * 30


def chosen(row_name: str, *answers: tuple[int, str, int], **options) -> tuple[str, ...] | str:
    row = BY_NAME[row_name].with_options(StackExchangeOptions(**options))
    assert isinstance(row, StackExchange)
    posts = {Post(False, id_, score, "", body) for id_, body, score in answers}
    return choose_answers(posts, 1 + row.with_worst_answer, row.settings)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": "x" * 19}, "title_too_short"),
        ({"title": "x" * 20}, None),
        ({"body": "<p>" + "y" * 19 + "</p>"}, "body_too_short"),
        ({"body": "<p>" + "y" * 20 + "</p>"}, None),
        ({"body": "<p>" + "y" * 4096 + "</p>"}, None),
        ({"body": "<p>" + "y" * 4097 + "</p>"}, "body_too_long"),
        ({"score": 0}, None),
        ({"score": -1}, "score_too_low"),
    ],
)
def test_the_published_bounds_hold_at_both_ends(changes, reason):
    _, outcome = judged(BY_NAME["stackexchange_title_body"], question(1, **changes))
    assert isinstance(outcome, Pair) if reason is None else outcome == Drop("d", "filter", reason)


def test_the_xml_dataset_has_no_bounds():
    _, outcome = judged(BY_NAME["stackexchange_xml"], question(1, "tea?", "<p>no</p>", -9))
    assert isinstance(outcome, Pair) and (outcome.anchor, outcome.positive) == ("tea?", "no")


def test_code_blocks_are_dropped_on_request(tmp_path):
    row = BY_NAME["stackexchange_title_body"].with_options(StackExchangeOptions(code_blocks=False))
    assert isinstance(row, StackExchange)
    _, outcome = judged(row, question(1, body=BODY + "<pre>code()</pre>"))
    assert isinstance(outcome, Pair) and outcome.positive == "A body of over twenty characters."


def test_one_question_in_two_dumps_is_one_pair_and_counted():
    row = BY_NAME["stackexchange_title_body"]
    assert judged(row, question(1), question(1))[:2] == [Read("d", 2), Drop("d", "pair", "duplicate_question", 1)]


def test_an_answer_whose_question_is_gone_is_counted():
    row = BY_NAME["stackexchange_Title_Answer"]
    assert judged(row, answer(2, 1)) == [Read("d", 1), Drop("d", "pair", "missing_question")]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ((), "no_answer"),
        (((2, text("a"), 1), (3, text("b"), 5)), (text("b"),)),
        (((3, text("b"), 5), (2, text("a"), 5)), (text("a"),)),  # of equal scores the older
        (((2, text("a"), -1),), "no_fit_answer"),
        (((2, "short", 9), (3, text("b"), 0)), (text("b"),)),
        (((2, "a" * 5000, 9),), "no_fit_answer"),
    ],
)
def test_the_best_answer_is_the_highest_scored_that_is_fit(answers, outcome):
    assert chosen("stackexchange_Title_Answer", *answers) == outcome


@pytest.mark.parametrize(
    ("best", "worst", "outcome"),
    [
        (100, 0, True),
        (99, 0, "margin_too_small"),
        (150, 50, True),
        (149, 50, "margin_too_small"),
        (0, -1, True),
        (-1, -2, "no_fit_answer"),
    ],
)
def test_a_worst_answer_is_a_negative_a_hundred_votes_behind_or_below_zero(best, worst, outcome):
    name = "stackexchange_titlebody_best_and_down_voted_answer"
    expected = (text("b"), text("w")) if outcome is True else outcome
    assert chosen(name, (2, text("b"), best), (4, text("m"), best), (3, text("w"), worst)) == expected


def test_the_margin_is_an_option():
    name = "stackexchange_titlebody_best_and_down_voted_answer"
    assert chosen(name, (2, text("b"), 5), (3, text("w"), 0), min_margin=5) == (text("b"), text("w"))


def test_an_only_answer_is_not_its_own_negative():
    name = "stackexchange_titlebody_best_and_down_voted_answer"
    assert chosen(name, (2, text("b"), 500)) == "no_second_answer"
