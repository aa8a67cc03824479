from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import word_runs
from pipelines.word_runs import cut_units, text_blocks
from schemas.pair import normalise


@given(st.lists(st.text(max_size=40).map(normalise), max_size=8))
def test_the_hash_of_a_text_does_not_depend_on_its_neighbours(many: list[str]) -> None:
    runs = cut_units(many)
    alone = [cut_units([text]) for text in many]
    together = runs.hashes(runs.first[:-1], runs.first[1:])
    assert together.tolist() == [int(one.hashes(one.first[:1], one.first[1:])[0]) for one in alone]


def test_runs_of_the_same_words_in_different_orders_have_different_hashes() -> None:
    orders = [" ".join(order) for order in itertools.permutations("abcdefgh")]
    runs = cut_units(orders)
    assert len(np.unique(runs.hashes(runs.first[:-1], runs.first[1:]))) == len(orders)


def test_a_run_hashes_alike_wherever_it_stands() -> None:
    runs = cut_units(["one two three four", "zero one two three"])
    starts, ends = runs.windows(3)
    assert (starts.tolist(), ends.tolist()) == ([0, 1, 4, 5], [3, 4, 7, 8])  # of one text each
    first, _, _, last = runs.hashes(starts, ends).tolist()
    assert first == last


def test_weights_are_quarters_of_a_word() -> None:
    runs = cut_units(["two words", "天地", "กข", "a\u200bb\ufe0f", "?!"])
    assert runs.text_weights.tolist() == [8, 4, 2, 4, 0]
    assert runs.text_of.tolist() == [0, 0, 1, 1, 2, 2, 3]
    starts, ends = runs.whole(below=2)
    assert runs.text_of[starts].tolist() == [1, 2, 3]
    assert (ends - starts).tolist() == [2, 2, 1]


@given(st.lists(st.text("ab ", max_size=60), max_size=12))
def test_blocks_hold_every_text_in_order_and_pieces_of_long_ones_overlap(many: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("BLOCK_CHARACTERS", 40), ("PIECE_CHARACTERS", 20), ("OVERLAP_CHARACTERS", 5)):
            patch.setattr(word_runs, name, size)
        blocks = list(text_blocks(enumerate(many)))
    found = [(number, piece) for numbers, block in blocks for number, piece in zip(numbers, block, strict=True)]
    assert [number for number, _ in itertools.groupby(found, key=lambda one: one[0])] == list(range(len(many)))
    for number, text in enumerate(many):
        first, *more = [piece for of, piece in found if of == number]
        assert all(piece and len(piece) <= 20 for piece in more)
        assert first + "".join(piece[5:] for piece in more) == text
