"""Decontamination: what was planted is found, all of it; what is only alike is kept."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import word_runs
from pipelines.decontaminate import MIN_WORDS, EvalOptions, EvalTexts, load_eval_texts
from pipelines.eval_files import read_texts
from pipelines.word_runs import cut_units
from schemas.pair import Pair, normalise, text_fingerprint

NGRAM = 13


def words_of(*counts: int) -> list[str]:
    """A text for each count, of words that no other text has."""
    numbers = itertools.count()
    return [" ".join(f"w{next(numbers)}x" for _ in range(count)) for count in counts]


def eval_texts(folder: Path, *texts: str, ngram: int = NGRAM, name: str = "sts") -> EvalTexts:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return load_eval_texts((str(path),), ngram=ngram)


def is_hit(texts: EvalTexts, text: str) -> bool:
    return bool(texts.hits(Pair("d", "something else altogether", text)))


# ── What is found ─────────────────────────────────────────────────────────────────────────────────

LETTERS = "abcdeßfghéïőñøçжщюяωשד가나ㅎ"
word = st.text(LETTERS, min_size=1, max_size=9)
separator = st.sampled_from([" ", "  ", "\t", "\n", ", ", " - ", "... ", " (", "\u00a0", "\u3000", "; "])


@st.composite
def disguised(draw: st.DrawFn, words: list[str]) -> str:
    """The same words in another case, Unicode form, white space and punctuation."""
    change = draw(st.sampled_from([str, str.upper, str.title, str.lower]))
    text = "".join(change(word) + draw(separator) for word in words)
    composed = draw(st.sampled_from([unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]))
    return draw(st.sampled_from([composed, unicodedata.normalize("NFKC", text), unicodedata.normalize("NFKD", text)]))


def shouted_and_back(text: str) -> bool:
    """Whether upper case loses nothing but case: 'ﬁ'.upper() does, and so is another word for everyone."""
    return all(normalise(change(text)) == normalise(text) for change in (str.upper, str.title, str.lower))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@given(st.data())
def test_an_evaluation_text_in_a_longer_text_is_found_however_it_is_written(scratch: Path, data: st.DataObject) -> None:
    known = data.draw(
        st.lists(st.lists(word.filter(shouted_and_back), min_size=MIN_WORDS, max_size=40), min_size=1, max_size=6)
    )
    texts = eval_texts(scratch, *map(" ".join, known))
    planted = data.draw(disguised(data.draw(st.sampled_from(known))))
    before, after = (" ".join(data.draw(st.lists(word, max_size=30))) for _ in range(2))
    role = data.draw(st.sampled_from(["anchor", "positive", "negative"]))
    slots = {"anchor": "clean", "positive": "clean too", "negative": "clean as well"} | {
        role: f"{before} {planted} {after}"
    }
    pair = Pair("d", slots["anchor"], slots["positive"], ("no match", slots["negative"]))
    assert texts.hits(pair) == ("sts",)


@given(st.data())
def test_a_short_evaluation_text_is_found_as_a_whole_text_however_it_is_written(
    scratch: Path, data: st.DataObject
) -> None:
    known = data.draw(st.lists(word.filter(shouted_and_back), min_size=1, max_size=MIN_WORDS - 1))
    texts = eval_texts(scratch, " ".join(known))
    assert is_hit(texts, data.draw(disguised(known)))
    assert not is_hit(texts, " ".join([*known, "another"]))


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 20), st.integers(4, 20))
def test_exactly_the_runs_of_n_words_are_found(scratch: Path, length: int, start: int, shared: int, ngram: int) -> None:
    (known,) = words_of(length)
    texts = eval_texts(scratch, known, ngram=ngram)
    run = known.split()[start : start + shared]
    text = " ".join(["before", *run, "after"])
    whole = len(run) == length and length >= min(MIN_WORDS, ngram)
    assert is_hit(texts, text) == (len(run) >= ngram or whole)


def test_a_changed_word_hides_only_the_runs_that_it_stands_in(tmp_path: Path) -> None:
    (known,) = words_of(26)
    texts = eval_texts(tmp_path, known)
    words = known.split()
    assert is_hit(texts, " ".join([*words[:13], "other", *words[14:]]))
    assert not is_hit(texts, " ".join([*words[:12], "other", *words[13:24], "other", *words[25:]]))


def test_the_same_words_in_another_order_are_not_found(tmp_path: Path) -> None:
    (known,) = words_of(30)
    texts = eval_texts(tmp_path, known)
    assert is_hit(texts, known)
    assert not is_hit(texts, " ".join(reversed(known.split())))
    assert not is_hit(texts, " ".join(f"{word}s" for word in known.split()))


def test_words_run_together_or_cut_apart_are_other_words(tmp_path: Path) -> None:
    (known,) = words_of(13)
    texts = eval_texts(tmp_path, known)
    assert not is_hit(texts, known.replace(" ", "", 1))
    assert not is_hit(texts, known.replace("x", " x", 1))


def test_invisible_characters_do_not_hide_a_text(tmp_path: Path) -> None:
    (known,) = words_of(13)
    texts = eval_texts(tmp_path, known)
    assert is_hit(texts, known.replace("x", "\u00adx\u200b").replace("w", "\ufeffw\ufe0f"))


def test_exact_matching_alone_finds_equal_normalised_texts_and_nothing_else(tmp_path: Path) -> None:
    (known,) = words_of(20)
    texts = eval_texts(tmp_path, known, "???", "A man.", ngram=0)
    assert is_hit(texts, f"  {known.upper()}\n")
    assert is_hit(texts, "???")
    assert not is_hit(texts, f"{known}.")
    assert not is_hit(texts, "A man")


def test_a_text_without_words_is_matched_exactly(tmp_path: Path) -> None:
    texts = eval_texts(tmp_path, "🙂 🙂", "?!")
    assert is_hit(texts, "🙂  🙂")
    assert not is_hit(texts, "🙂")
    assert not is_hit(texts, "!?")
    assert not is_hit(texts, "")


HAN = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜"
THAI = "กขคงจฉชซญณดตถทธนบปผพฟมยรลวสหอฮ" * 3


@pytest.mark.parametrize(
    ("known", "characters_of_a_run", "characters_found_whole"),
    [(HAN, 2 * NGRAM, 2 * MIN_WORDS), (THAI, 4 * NGRAM, 4 * MIN_WORDS)],
    ids=["half words", "quarter words"],
)
def test_scripts_without_spaces_are_matched_by_characters(
    tmp_path: Path, known: str, characters_of_a_run: int, characters_found_whole: int
) -> None:
    other = "人" * 7
    texts = eval_texts(tmp_path, known)
    for start in range(len(known) - characters_of_a_run + 1):
        run = known[start : start + characters_of_a_run]
        assert is_hit(texts, other + run + other)
        assert not is_hit(texts, other + run[:-1] + other)
    texts = eval_texts(tmp_path, known[:characters_found_whole])
    assert is_hit(texts, other + known[:characters_found_whole] + other)
    texts = eval_texts(tmp_path, known[: characters_found_whole - 1])
    assert not is_hit(texts, other + known[: characters_found_whole - 1] + other)
    assert is_hit(texts, known[: characters_found_whole - 1])


@given(st.lists(st.one_of(word, st.text(HAN, min_size=1, max_size=12)), min_size=16, max_size=40), st.data())
def test_texts_of_mixed_scripts_are_found(scratch: Path, words: list[str], data: st.DataObject) -> None:
    texts = eval_texts(scratch, " ".join(words))
    before, after = (data.draw(st.sampled_from(["", "中文 ", "some words ", "ไทย "])) for _ in range(2))
    assert is_hit(texts, f"{before} {' '.join(words)} {after}")


@given(st.lists(st.text(max_size=40).map(normalise).filter(bool), min_size=1, max_size=8))
def test_every_text_is_found_in_itself(scratch: Path, many: list[str]) -> None:
    texts = eval_texts(scratch, *many)
    assert texts.hits_many([Pair("d", "x" * 99, text) for text in many]) == [("sts",)] * len(many)


def test_equal_texts_have_the_fingerprint_of_the_schema(tmp_path: Path) -> None:
    texts = eval_texts(tmp_path, "Ein  Straßenfest", ngram=0)
    assert texts.keys.tolist() == [text_fingerprint("ein strassenfest")]


def test_half_a_surrogate_pair_in_a_pair_is_no_error(tmp_path: Path) -> None:
    (known,) = words_of(20)
    texts = eval_texts(tmp_path, known)
    assert is_hit(texts, f"\ud83d {known}")
    assert not is_hit(texts, "\ud83d")


def test_contexts_are_not_matched(tmp_path: Path) -> None:
    (known,) = words_of(20)
    assert eval_texts(tmp_path, known).hits(Pair("d", "a", "b", contexts=(known,))) == ()


def test_many_pairs_at_once_are_judged_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = words_of(*range(1, 40))
    texts = eval_texts(tmp_path, *known[::2])
    pairs = [Pair("d", f"pair {n}", f"so {text} it is", (text,) if n % 3 else ()) for n, text in enumerate(known)]
    alone = [texts.hits(pair) for pair in pairs]
    assert 0 < alone.count(()) < len(pairs)
    for block in (1, 100, 5000):
        monkeypatch.setattr(word_runs, "BLOCK_CHARACTERS", block)
        assert texts.hits_many(pairs) == alone
    assert texts.hits_many([]) == []


def test_very_long_texts_are_searched_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_runs, "PIECE_CHARACTERS", 1000)
    monkeypatch.setattr(word_runs, "OVERLAP_CHARACTERS", 200)
    known, filler = words_of(20, 2000)
    words = filler.split()
    texts = eval_texts(tmp_path, known)
    for at in range(0, 2001, 25):
        assert is_hit(texts, " ".join([*words[:at], known, *words[at:]]))
    assert not is_hit(texts, filler)
    long = eval_texts(tmp_path, filler)
    assert long.sets == {"sts": 1}
    assert all(is_hit(long, " ".join(words[at : at + NGRAM])) for at in range(0, 2000 - NGRAM))


# ── Several sets ──────────────────────────────────────────────────────────────────────────────────


def test_a_text_of_two_sets_is_a_hit_of_both(tmp_path: Path) -> None:
    shared, one, other = words_of(15, 10, 30)
    (tmp_path / "b.txt").write_text(f"{shared}\n{one}\n")
    (tmp_path / "a.txt").write_text(f"{other}\n{shared}\n")
    texts = load_eval_texts((str(tmp_path / "b.txt"), str(tmp_path / "a.txt")))
    assert texts.sets == {"a": 2, "b": 2}
    pairs = [Pair("d", "x", text) for text in (shared, one, other, "clean")] + [Pair("d", one, other)]
    assert texts.hits_many(pairs) == [("a", "b"), ("b",), ("a",), (), ("a", "b")]


def test_the_order_of_paths_does_not_show(tmp_path: Path) -> None:
    for name, text in zip("abc", words_of(9, 20, 20), strict=True):
        (tmp_path / f"{name}.txt").write_text(text)
    paths = [str(tmp_path / f"{name}.txt") for name in "abc"]
    hashes = {load_eval_texts(tuple(order)).content_hash for order in itertools.permutations(paths)}
    assert hashes == {load_eval_texts((str(tmp_path / "*.txt"), paths[1])).content_hash}


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for path, text in zip(
        ("x/test.txt", "y/test.txt", "y/test.tsv", "z/test.txt.gz"), words_of(9, 9, 9, 9), strict=True
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        raw = f"text\n{text}\n".encode()
        (tmp_path / path).write_bytes(gzip.compress(raw) if path.endswith(".gz") else raw)
    texts = load_eval_texts((str(tmp_path / "*" / "test.*"),))
    assert texts.names == ("test.tsv", "test.txt.gz", "x/test.txt", "y/test.txt")


# ── Saving ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    known = words_of(5, 9, 30)
    texts = eval_texts(tmp_path, *known)
    texts.save(str(tmp_path / "eval.npz"))
    loaded = EvalTexts.load(str(tmp_path / "eval.npz"))
    assert (loaded.sets, loaded.ngram, loaded.content_hash) == (texts.sets, texts.ngram, texts.content_hash)
    pairs = [Pair("d", "x", text) for text in (*known, "clean", f"so {known[1]} it is")]
    assert loaded.hits_many(pairs) == texts.hits_many(pairs) == [("sts",)] * 3 + [(), ("sts",)]
    assert pickle.loads(pickle.dumps(loaded)).hits_many(pairs) == texts.hits_many(pairs)


def test_the_content_hash_tells_texts_names_and_rules_apart(tmp_path: Path) -> None:
    one, other = words_of(20, 20)
    made = [
        eval_texts(tmp_path, one),
        eval_texts(tmp_path, other),
        eval_texts(tmp_path, one, other),
        eval_texts(tmp_path, one, name="sick"),
        eval_texts(tmp_path, one, ngram=8),
    ]
    assert len({texts.content_hash for texts in made}) == len(made)
    assert eval_texts(tmp_path, one.upper()).content_hash == made[0].content_hash


@pytest.mark.parametrize("damage", ["flip", "cut", "other", "pickle"])
def test_a_file_that_was_not_saved_so_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "eval.npz"
    eval_texts(tmp_path, *words_of(20)).save(str(path))
    whole = path.read_bytes()
    if damage == "flip":
        at = whole.index(b"keys.npy") + 150  # past the header of the array
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
    elif damage == "cut":
        path.write_bytes(whole[:-30])
    elif damage == "other":
        np.savez(path, keys=np.arange(3))
    else:
        path.write_bytes(pickle.dumps(["a list"]))
    with pytest.raises(ValueError, match=r"eval\.npz: not evaluation texts"):
        EvalTexts.load(str(path))


# ── Options ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ngram", [-1, 1, 3, 101])
def test_runs_of_an_odd_length_are_refused(tmp_path: Path, ngram: int) -> None:
    with pytest.raises(ValueError, match=f"eval ngram is {ngram}; expected 0"):
        EvalOptions(eval_ngram=ngram)
    with pytest.raises(ValueError, match=f"eval ngram is {ngram}; expected 0"):
        eval_texts(tmp_path, "one", ngram=ngram)


def test_a_set_without_texts_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty.txt", "\n \n"), ("header.tsv", "sentence1\tsentence2\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf"{name}: no texts in it; expected at least one"):
            load_eval_texts((str(tmp_path / name),))
    with pytest.raises(ValueError, match="no evaluation sets"):
        load_eval_texts(())


def test_of_a_beir_folder_the_corpus_is_matched_on_request(tmp_path: Path) -> None:
    query, document = words_of(9, 30)
    (tmp_path / "nq").mkdir()
    (tmp_path / "nq/queries.jsonl").write_text(json.dumps({"_id": "q", "text": query}))
    (tmp_path / "nq/corpus.jsonl").write_text(json.dumps({"_id": "d", "title": "Any Title", "text": document}))
    for corpus in (False, True):
        texts = load_eval_texts((str(tmp_path / "nq"),), corpus=corpus)
        assert texts.sets == {"nq": 1 + corpus}
        assert [is_hit(texts, text) for text in (query, document, "Any title")] == [True, corpus, False]


def test_a_corpus_of_no_sets_is_refused() -> None:
    assert EvalOptions().eval_ngram == NGRAM
    with pytest.raises(ValueError, match="eval corpus without eval texts"):
        EvalOptions(eval_corpus=True)


# ── Real data ─────────────────────────────────────────────────────────────────────────────────────


def test_every_sentence_of_sts_b_planted_in_a_pair_is_found(shared_data: Path) -> None:
    path = str(shared_data / "eval/stsbenchmark/sts-dev.csv.gz")
    texts = load_eval_texts((path, str(shared_data / "eval/sick/SICK_trial.txt.gz")))
    assert texts.sets == {"SICK_trial": 1000, "sts-dev": 3000}
    sentences = list(read_texts(path))
    alone = texts.hits_many([Pair("d", "an anchor", sentence.upper()) for sentence in sentences])
    assert all("sts-dev" in hit for hit in alone)
    long = [sentence for sentence in sentences if len(cut_units([normalise(sentence)]).weights) > MIN_WORDS]
    within = texts.hits_many([Pair("d", f"They said: {sentence}, and more.", "a positive") for sentence in long])
    assert len(long) > 2000 and all("sts-dev" in hit for hit in within)


def by_definition(known: list[str]) -> Callable[[str], bool]:
    """Whether a text matches, as the definition says word for word; for scripts with spaces, without a hash."""

    def words(text: str) -> tuple[str, ...]:
        return tuple(re.findall(r"[^\W_]+", normalise(text)))

    equal = set(map(normalise, known))
    cut = list(map(words, known))
    runs = {run[at : at + NGRAM] for run in cut for at in range(max(1, len(run) - NGRAM + 1))} - {()}

    def matches(text: str) -> bool:
        mine = words(text)
        within = any(
            mine[at : at + size] in runs for size in range(MIN_WORDS, NGRAM + 1) for at in range(len(mine) - size + 1)
        )
        return within or (len(mine) < MIN_WORDS and mine in runs) or normalise(text) in equal

    return matches


@given(st.data())
def test_texts_of_few_words_are_judged_by_the_definition(scratch: Path, data: st.DataObject) -> None:
    some_text = st.lists(st.sampled_from(["a", "a", "b", "b.", "A-b"]), min_size=1, max_size=30).map(" ".join)
    known = data.draw(st.lists(some_text, min_size=1, max_size=4))
    many = data.draw(st.lists(some_text, min_size=1, max_size=10))
    found = eval_texts(scratch, *known).hits_many([Pair("d", "nothing", text) for text in many])
    assert [bool(hit) for hit in found] == list(map(by_definition(known), many))


def test_captions_that_the_sts_sets_were_made_of_are_found(shared_data: Path) -> None:
    sets = sorted(map(str, [*shared_data.glob("eval/stsbenchmark/sts-*"), *shared_data.glob("eval/sick/*")]))
    with gzip.open(shared_data / "flickr30k/train.1.en.gz", "rt", encoding="utf-8") as lines:
        captions = [line.strip() for line in lines][:4000]
    found = load_eval_texts(tuple(sets)).hits_many([Pair("flickr30k", "an image", caption) for caption in captions])
    matches = by_definition([text for path in sets for text in read_texts(path)])
    assert [bool(hit) for hit in found] == list(map(matches, captions))
    assert 10 < sum(map(bool, found)) < 400
