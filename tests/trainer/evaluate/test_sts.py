"""Similarity: each format, and the correlations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from trainer.evaluate.contenders import open_contender
from trainer.evaluate.similarity import cosines, pearson, spearman
from trainer.evaluate.sts import read_sts

PAIRS = [("a b", "a c", 2.5), ('the "x"', "y", 0.0), ("z", "z", 5.0)]
STSB = "".join(f"main-news\tMSRpar\t2012\t{n:04}\t{score}\t{a}\t{b}\n" for n, (a, b, score) in enumerate(PAIRS))


def check(path: Path, **options) -> None:
    task = read_sts(path, **options)
    assert list(zip(task.left, task.right, task.gold.tolist(), strict=True)) == PAIRS
    assert task.size == {"pairs": 3}


def test_stsb_is_read_with_sources_behind_some_rows(tmp_path: Path) -> None:
    lines = STSB.splitlines()
    lines[1] += "\thttp://a\thttp://b"
    (tmp_path / "sts-dev.csv").write_text("\n".join(lines) + "\n")
    check(tmp_path / "sts-dev.csv")


def test_sick_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{n}\t{a}\t{b}\t{score}\tNEUTRAL\n" for n, (a, b, score) in enumerate(PAIRS))
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    (tmp_path / "SICK.txt").write_text(header + rows)
    check(tmp_path / "SICK.txt")


def test_semeval_is_read_as_file_and_as_folder_and_blank_scores_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "STS.input.one.txt").write_text("a b\ta c\nnobody\tscored\n")
    (tmp_path / "STS.gs.one.txt").write_text("2.5\n\n")
    (tmp_path / "STS.input.two.txt").write_text('the "x"\ty\nz\tz\n')
    (tmp_path / "STS.gs.two.txt").write_text("0\n5\n")
    task = read_sts(tmp_path)
    assert list(zip(task.left, task.right, task.gold.tolist(), strict=True)) == PAIRS
    assert task.size == {"pairs": 3, "unscored": 1}
    assert read_sts(tmp_path / "STS.input.two.txt").size == {"pairs": 2}
    (tmp_path / "STS.gs.two.txt").write_text("0\n")
    with pytest.raises(ValueError, match=r"two\.txt has 2 lines and STS\.gs\.two\.txt 1"):
        read_sts(tmp_path)


def test_any_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    rows = "".join(f'"{a.replace(chr(34), chr(34) * 2)}",{score},{b}\n' for a, b, score in PAIRS)
    (tmp_path / "mine.csv").write_text("first,how close,second\n" + rows)
    check(tmp_path / "mine.csv", columns=("first", "second", "how close"))
    with pytest.raises(ValueError, match="columns are first, how close, second; expected one called sentence1"):
        read_sts(tmp_path / "mine.csv")
    with pytest.raises(ValueError, match="expected three: two texts and a score"):
        read_sts(tmp_path / "mine.csv", columns=("first", "second"))


@pytest.mark.parametrize(
    ("scores", "says"),
    [(["", "", ""], "0 scored pairs of 3"), (["1", "1", ""], "2 scored pairs of 3"), (["1", "x", "2"], "row 2 is 'x'")],
)
def test_scores_that_say_nothing_are_refused(tmp_path: Path, scores: list[str], says: str) -> None:
    rows = "".join(f"a\tb\t{score}\n" for score in scores)
    (tmp_path / "a.tsv").write_text("sentence1\tsentence2\tscore\n" + rows)
    with pytest.raises(ValueError, match=says):
        read_sts(tmp_path / "a.tsv")


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 6, 200).astype(float), rng.standard_normal(200)
    right += left / 3
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right)[0])
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right)[0])
    assert pearson(left, np.ones(200)) == 0


def test_a_row_of_zeros_has_no_cosine_with_anything() -> None:
    np.testing.assert_allclose(cosines([[0, 0], [3, 4]], [[1, 2], [6, 8]]), [0, 1])


@pytest.mark.slow
def test_the_released_minilm_scores_its_known_figure_on_stsb_dev(shared_data: Path) -> None:
    try:
        contender = open_contender("all-MiniLM-L6-v2")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    task = read_sts(shared_data / "eval/stsbenchmark/sts-dev.csv.gz")
    assert task.size == {"pairs": 1500}
    assert 100 * task.evaluate(contender).scores["spearman"] == pytest.approx(86.716, abs=0.01)
