import itertools
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import Drop, Origin
from pipelines.sources.reddit_comments import Comment
from pipelines.sources.reddit_threads import pair_thread, trim
from schemas.pair import Pair

THREAD = "abc"
BOUNDS: dict[str, int] = {"min_characters": 9, "max_characters": 127, "depth": 10}


def comment(id_: str, parent: str = THREAD, body: str | None = None, retrieved: int = 0) -> Comment:
    return Comment(id_, parent, retrieved, f"a comment named {id_}" if body is None else body)


def outcomes(*comments: Comment, **bounds: int) -> list[Pair | Drop]:
    found = pair_thread((THREAD, [list(item) for item in comments]), "reddit", **(BOUNDS | bounds))
    return [item for item in found if isinstance(item, Pair | Drop)]


def reasons(*comments: Comment, **bounds: int) -> dict[str, int]:
    return dict(counted(outcomes(*comments, **bounds)))


def counted(found: Iterable[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in found:
        if isinstance(item, Drop):
            counts[item.reason] += item.records
    return counts


def pairs(*comments: Comment, **bounds: int) -> list[Pair]:
    return [item for item in outcomes(*comments, **bounds) if isinstance(item, Pair)]


def test_a_reply_is_paired_with_its_direct_parent_in_its_thread():
    found = pairs(comment("a"), comment("b", "a"), comment("c", "b"))
    assert found == [
        Pair("reddit", "a comment named a", "a comment named b", group=THREAD),
        Pair("reddit", "a comment named b", "a comment named c", group=THREAD, contexts=("a comment named a",)),
    ]


def test_a_comment_on_the_thread_itself_is_no_reply():
    assert reasons(comment("a"), comment("b")) == {"top_level": 2}


def test_a_reply_to_a_comment_that_is_not_there_is_counted():
    assert reasons(comment("a", "gone"), comment("b", "")) == {"missing_parent": 2}


def test_a_reply_to_an_orphan_is_still_a_pair():
    assert len(pairs(comment("a", "gone"), comment("b", "a"))) == 1


def test_circles_and_self_answers_are_survived_with_all_that_hangs_on_them():
    circle = [comment("a", "c"), comment("b", "a"), comment("c", "b"), comment("d", "b"), comment("e", "e")]
    assert reasons(*circle) == {"cycle": 5}
    assert len(pairs(*circle, comment("x"), comment("y", "x"))) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[deleted]", "deleted"),
        ("[removed]", "deleted"),
        ("x" * 128, "too_long"),
        ("x" * 8, "too_short"),
        ("", "too_short"),
    ],
)
def test_an_unfit_comment_is_neither_reply_nor_parent(body, reason):
    assert reasons(comment("a", body=body), comment("b", "a")) == {"top_level": 1, f"parent_{reason}": 1}
    assert reasons(comment("a"), comment("b", "a", body=body)) == {"top_level": 1, f"reply_{reason}": 1}


@pytest.mark.parametrize("body", ["x" * 9, "x" * 127, "ä" * 127, "[deleted] "])
def test_both_ends_of_the_length_range_are_kept(body):
    assert len(pairs(comment("a", body=body), comment("b", "a", body=body))) == 1


def test_the_reply_is_judged_before_its_parent():
    assert reasons(comment("a", body="x"), comment("b", "a", body="y")) == {
        "top_level": 1,
        "reply_too_short": 1,
    }


def chain(length: int, body=str) -> list[Comment]:
    return [comment(f"c{n}", f"c{n - 1}" if n else THREAD, f"comment number {body(n)}") for n in range(length)]


@pytest.mark.parametrize(
    ("depth", "contexts"), [(1, []), (2, [8]), (5, [8, 7, 6, 5]), (10, [8, 7, 6, 5, 4, 3, 2, 1, 0])]
)
def test_earlier_contexts_come_nearest_first_up_to_the_depth(depth, contexts):
    last = pairs(*chain(11), depth=depth)[-1]
    assert (last.anchor, last.positive) == ("comment number 9", "comment number 10")
    assert last.contexts == tuple(f"comment number {n}" for n in contexts)


def test_the_published_depth_keeps_nine_earlier_contexts():
    assert len(pairs(*chain(30))[-1].contexts) == 9


def test_contexts_are_trimmed_but_neither_filtered_nor_dropped():
    long = "word " * 60
    found = pairs(comment("a", body="[deleted]"), comment("b", "a", long), comment("c", "b"), comment("d", "c"))
    assert [pair.contexts for pair in found] == [(("word " * 60)[:125], "[deleted]")]


@pytest.mark.parametrize(
    ("versions", "best"),
    [
        ([("[deleted]", 9), ("the text itself", 1)], "the text itself"),
        ([("[removed]", 9), ("the text itself", 1)], "the text itself"),
        ([("an older version", 1), ("a later version", 2)], "a later version"),
        ([("version number b", 1), ("version number a", 1)], "version number a"),
        ([("older and long gone", 1), ("[deleted]", 7), ("edited and kept", 5)], "edited and kept"),
    ],
)
def test_of_comments_with_one_id_the_best_is_used_whatever_comes_first(versions, best):
    for order in itertools.permutations(versions):
        copies = [comment("b", "a", body, retrieved) for body, retrieved in order]
        (pair,) = pairs(comment("a"), *copies)
        assert pair.positive == best
        assert reasons(comment("a"), *copies) == {"top_level": 1, "duplicate_comment": len(versions) - 1}


BODIES = st.sampled_from(["[deleted]", "short", "just long enough", "another fit comment", "x" * 200])
THREADS = st.lists(
    st.builds(
        comment,
        st.sampled_from([f"c{n}" for n in range(8)]),
        st.sampled_from([*(f"c{n}" for n in range(8)), THREAD, "gone", ""]),
        BODIES,
        st.integers(0, 2),
    ),
    max_size=12,
)


@given(THREADS)
def test_every_comment_has_exactly_one_outcome(thread):
    assert sum(item.records if isinstance(item, Drop) else 1 for item in outcomes(*thread)) == len(thread)
    duplicates = len(thread) - len({item.id for item in thread})
    assert reasons(*thread).get("duplicate_comment", 0) == duplicates


@given(THREADS, st.integers(0, 2**32))
def test_the_order_of_a_thread_s_comments_never_shows(thread, seed):
    shuffled = random.Random(seed).sample(thread, len(thread))
    assert Counter(outcomes(*thread)) == Counter(outcomes(*shuffled))


def trim_by_words(text: str, most: int) -> str:
    """Whole runs of letters and digits, or of other characters, as many as fit; all of a text that fits."""
    if len(text) <= most:
        return text
    kept = ""
    for _, letters in itertools.groupby(text, key=str.isalnum):
        word = "".join(letters)
        if len(kept) + len(word) > most:
            break
        kept += word
    return kept


@given(st.text("ab1 .,ä", max_size=40), st.integers(1, 30))
def test_trimming_keeps_whole_words(text, most):
    assert trim(text, most) == trim_by_words(text, most)


def ends_somewhere(start: Comment, comments: dict[str, Comment]) -> bool:
    """Whether its ancestors, walked one by one, ever stop."""
    for _ in range(len(comments)):
        if start.parent not in comments:
            return True
        start = comments[start.parent]
    return False


IDS = st.sampled_from(["9", "a", "z", "10", "a0", "zz", "100"])  # older ids are shorter or come first


@given(st.lists(st.builds(comment, IDS, IDS | st.just(THREAD)), unique_by=lambda item: item.id))
def test_whatever_the_ids_exactly_the_circles_and_what_hangs_on_them_are_dropped(thread):
    comments = {item.id: item for item in thread}
    endless = sum(not ends_somewhere(item, comments) for item in thread)
    assert reasons(*thread).get("cycle", 0) == endless


def test_pairs_are_counted_by_their_subreddit():
    thread = [item._replace(subreddit="tea") for item in chain(4)]
    found = pair_thread((THREAD, [list(item) for item in thread]), "reddit", **BOUNDS)
    assert [item for item in found if isinstance(item, Origin)] == [Origin("reddit", "subreddit", "tea", 3)]
