"""What decontamination, deduplication and the cap do in the whole job."""

import itertools
import json
import random
import re
from collections import defaultdict
from pathlib import Path

import pytest
from jobs import contents, drops_of, fold, preprocess_reddit, read_pairs

from pipelines.decontaminate import EvalOptions
from schemas.manifest import verify
from schemas.pair import fingerprint, shuffle_key


def write_thread(path: Path, *exchanges: tuple[str, ...]) -> Path:
    """A dump of threads of two comments each."""
    rows = [
        {"id": f"{n}{side}", "link_id": f"t3_x{n}", "parent_id": parent, "body": body}
        for n, exchange in enumerate(exchanges)
        for side, parent, body in zip("ab", (f"t3_x{n}", f"t1_{n}a"), exchange, strict=True)
    ]
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


SENTENCE = "the quick walker number {} told us about a house beside the water"


def test_all_planted_evaluation_texts_are_found_and_counted_by_set(tmp_path):
    ordinary = [(f"an ordinary question {n}", f"an ordinary answer {n}") for n in range(300)]
    planted = [(f"which one was it {n}", SENTENCE.format(n).upper() + "  ") for n in range(20)]
    planted += [(SENTENCE.format(n), f"reply to that is {n}") for n in range(20, 30)]
    for name, numbers in (("one", range(15)), ("two", range(15, 40))):
        (tmp_path / f"{name}.txt").write_text("\n".join(SENTENCE.format(n) for n in numbers))
    dump = write_thread(tmp_path / "dump", *ordinary, *planted)
    evaluation = EvalOptions(eval_texts=(str(tmp_path / "one.txt"), str(tmp_path / "two.txt")), eval_ngram=0)
    plain = preprocess_reddit(tmp_path / "plain", dump)
    clean = preprocess_reddit(tmp_path / "clean", dump, evaluation=evaluation)
    assert drops_of(clean)["decontaminate"] == {"one": 15, "two": 15}
    left = {pair for split in ("train", "test") for pair in read_pairs(clean, split)}
    assert left == {
        pair
        for split in ("train", "test")
        for pair in read_pairs(plain, split)
        if "walker" not in (pair.anchor + pair.positive).lower()
    }
    assert len(left) == 300
    options = clean.parts[0].options
    (tmp_path / "two.txt").write_text("another text altogether")
    other = preprocess_reddit(tmp_path / "other", dump, evaluation=evaluation)
    assert options["eval_texts_hash"] != other.parts[0].options["eval_texts_hash"]
    assert "eval_texts_hash" not in plain.parts[0].options
    assert drops_of(other)["decontaminate"] == {"one": 15}


def test_planted_near_duplicates_go_and_nothing_else(tmp_path):
    chance = random.Random(0)
    originals = [
        tuple(" ".join(chance.choices([f"w{chance.randrange(500)}x" for _ in range(40)], k=20)) for _ in range(2))
        for _ in range(60)
    ]
    copies = [(anchor.upper() + "!", positive.replace(" ", ", ", 2)) for anchor, positive in originals[:25]]
    dump = write_thread(tmp_path / "dump", *originals, *copies)
    exact = preprocess_reddit(tmp_path / "exact", dump)
    assert drops_of(exact)["dedup"] == {} and exact.records("train") + exact.records("test") == 85
    nears = [preprocess_reddit(tmp_path / f"near{n}", dump, dedup="near", passes=n) for n in (1, 8, 64)]
    for near in nears:
        assert drops_of(near)["dedup"] == {"near_duplicate": 25}
        assert contents(Path(near.folder)) == contents(Path(nears[0].folder))
        assert near.parts[0].options["dedup"] == "near"
        left = [pair for split in ("train", "test") for pair in read_pairs(near, split)]
        words = {tuple(re.findall(r"\w+", pair.anchor.lower())) for pair in left}
        assert len(left) == len(words) == 60


def test_without_dedup_exact_copies_stay_and_the_options_say_so(tmp_path):
    dump = write_thread(
        tmp_path / "dump", *[("the same question", "the same answer")] * 5, ("another one", "its answer")
    )
    exact = preprocess_reddit(tmp_path / "exact", dump)
    none = preprocess_reddit(tmp_path / "none", dump, dedup="none")
    assert exact.records("train") + exact.records("test") == 2
    assert none.records("train") + none.records("test") == 6
    assert (exact.parts[0].options["dedup"], none.parts[0].options["dedup"]) == ("exact", "none")
    assert drops_of(exact)["dedup"] == {"duplicate": 4} and drops_of(none)["dedup"] == {}
    assert list(verify(none)) == []


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_no_text_stands_in_more_pairs_than_it_may_and_the_first_of_the_global_order_stay(months, tmp_path, most):
    inputs = f"{months}/RC_*.zst"
    all_pairs = preprocess_reddit(tmp_path / "all", inputs)
    capped = preprocess_reddit(tmp_path / "capped", inputs, max_per_text=most)
    pairs = {split: read_pairs(all_pairs, split) for split in ("train", "test")}
    keys: defaultdict[str, list[int]] = defaultdict(list)
    for pair in itertools.chain(*pairs.values()):
        for text in {fold(text) for text in pair.texts}:
            keys[text].append(shuffle_key(fingerprint(pair).pair, 0))
    limits = {text: sorted(of_text)[:most][-1] for text, of_text in keys.items()}
    expected = {
        split: [
            pair
            for pair in of_split
            if all(shuffle_key(fingerprint(pair).pair, 0) <= limits[fold(text)] for text in pair.texts)
        ]
        for split, of_split in pairs.items()
    }
    assert {split: read_pairs(capped, split) for split in ("train", "test")} == expected
    dropped = sum(map(len, pairs.values())) - sum(map(len, expected.values()))
    assert drops_of(capped)["cap"] == ({"text_too_frequent": dropped} if dropped else {})
    assert bool(dropped) == (most < 1000)
