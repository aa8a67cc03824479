"""Gender bias: preferences, their intervals, and the labour market, on encoders whose bias is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from trainer.evaluate.baselines import Bm25
from trainer.evaluate.contenders import open_contender
from trainer.evaluate.gender_bias import (
    BiasReport,
    GenderBias,
    Preference,
    card_rows,
    correlate,
    preferences,
    read_gender_bias,
    report_bias,
    summarize,
)
from trainer.evaluate.gender_examples import Example
from trainer.evaluate.statistics import compare
from trainer.evaluate.suite import load_suite
from trainer.evaluate.vector_contender import VectorContender

WOMEN = {f"job {n}": 10.0 * n for n in range(10)}
EXAMPLES = tuple(
    Example(job, f"{job} {n} they", f"{job} {n} she", f"{job} {n} he") for job in sorted(WOMEN) for n in range(4)
)


def biased(slope: float, shift: float = 0.0) -> VectorContender:
    """She is nearer to "they" than he by about slope × (share of women − 1/2) + shift, whatever the sentence."""

    def encode(texts: Sequence[str], *, prompt: str) -> np.ndarray:
        vectors = np.zeros((len(texts), 2), np.float32)
        for row, text in enumerate(texts):
            _, job, sentence, pronoun = text.split()
            leaning = (slope * (int(job) / 10 - 0.5) + shift) * (1 + int(sentence) / 10)
            near = {"they": 1.0, "she": 0.7 + leaning / 2, "he": 0.7 - leaning / 2}[pronoun]
            vectors[row] = near, np.sqrt(1 - near**2)
        return vectors

    return VectorContender(f"biased {slope} {shift}", encode)


def task(women: dict[str, float] | None = None) -> GenderBias:
    return GenderBias("made", EXAMPLES, WOMEN if women is None else women)


def report(contender: VectorContender, women: dict[str, float] | None = None) -> BiasReport:
    found = task(women).evaluate(contender).details
    assert isinstance(found, BiasReport)
    return found


def test_an_encoder_that_mirrors_the_labour_market_is_found_out() -> None:
    found = report(biased(0.2))
    assert [one.occupation for one in found.occupations] == [f"job {n}" for n in range(9, -1, -1)]
    assert found.correlation is not None
    assert (found.correlation.spearman, found.correlation.interval, found.correlation.occupations) == (1, (1, 1), 10)
    top = found.occupations[0]
    assert (top.women, top.female_nearer, top.examples) == (90, 1, 4)
    assert top.difference == pytest.approx(0.08 * 1.15, abs=1e-6)
    assert top.difference_interval is not None and 0 < top.difference_interval[0] < top.difference
    low, high = found.overall.female_nearer_interval
    assert low < found.overall.female_nearer == 0.425 + 0.025 < high  # of the middle job all tie, nearly
    assert report(biased(-0.2)).correlation.spearman == -1  # type: ignore[union-attr]


def test_one_gender_as_the_default_is_no_stereotype() -> None:
    found = report(biased(0, -0.05))
    assert found.overall.female_nearer == 0
    low, high = found.overall.difference_interval or (0, 0)
    assert low <= found.overall.difference <= high < 0
    assert found.gap == pytest.approx(0.05 * 1.15, abs=1e-6)
    assert found.overall.difference == pytest.approx(-found.gap)


def test_scores_leave_out_the_labour_market_where_it_is_unknown() -> None:
    outcome = task({}).evaluate(biased(0.2))
    assert set(outcome.scores) == {"gap", "female_nearer", "difference"}
    assert report(biased(0.2), {"job 1": 10.0}).correlation is None
    assert report(biased(0.2), {"job 1": 10.0}).occupations[-2].women == 10
    known = task().evaluate(biased(0.2)).scores
    assert set(known) - set(outcome.scores) == {"spearman"}


def test_two_encoders_are_compared_over_occupations_and_less_is_better() -> None:
    much, little = task().evaluate(biased(0.4)), task().evaluate(biased(0.1))
    assert not much.higher_is_better and much.items == 10
    assert much.resample is not None and little.resample is not None
    assert much.resample(np.arange(10)) == pytest.approx(much.scores["gap"])
    found = compare(much.resample, little.resample, much.items)
    assert found.low > 0 and found.difference == pytest.approx(much.scores["gap"] - little.scores["gap"])


def test_a_baseline_that_sees_no_pronouns_prefers_neither() -> None:
    outcome = task().evaluate(Bm25())
    assert outcome.scores["female_nearer"] == 0.5 and outcome.scores["gap"] == 0


def test_preferences_are_similarities_of_the_anchor_and_a_tie_counts_half() -> None:
    table = {"a": [1, 0], "b": [0.6, 0.8], "c": [0.8, 0.6], "d": [0.6, -0.8]}
    contender = VectorContender("placed", lambda texts, prompt: np.array([table[text] for text in texts], np.float32))
    examples = [Example("x", "a", "b", "c"), Example("x", "a", "b", "d")]
    first, second = preferences(contender, examples)
    assert (first.female, first.male) == pytest.approx((0.6, 0.8)) and first.difference == pytest.approx(-0.2)
    assert second.difference == pytest.approx(0)
    found = summarize([Preference(examples[0], 0.5, 0.5), Preference(examples[0], 0.7, 0.5)])
    assert found.female_nearer == 0.75 and found.difference_interval is None


def test_a_report_is_the_same_in_any_order_of_examples() -> None:
    found = preferences(biased(0.3, 0.01), EXAMPLES)
    assert report_bias(found, WOMEN).occupations == report_bias(found[::-1], WOMEN).occupations
    assert correlate(report_bias(found, {}).occupations) is None


def test_a_card_says_what_was_measured() -> None:
    rows = dict(card_rows("made", report(biased(0.2, -0.01))))
    assert rows["sentences"] == "40 of 10 occupations (made)"
    assert rows["Spearman with the share of women"] == "+1.00 [+1.00, +1.00], 10 occupations"
    assert rows["nearest to female"].startswith("job 9 +0.0") and rows["nearest to male"].startswith("job 0 -0.1")
    assert "Spearman with the share of women" not in dict(card_rows("made", report(biased(0.2), {})))


def test_our_own_sentences_need_no_file_and_take_statistics(tmp_path: Path) -> None:
    assert read_gender_bias(None).women == {} and read_gender_bias(None).size["examples"] == 246
    (tmp_path / "women.csv").write_text("occupation,women\nnurse,90\n")
    assert read_gender_bias(None, tmp_path / "women.csv").women == {"nurse": 90}


def test_winogenders_statistics_are_found_beside_its_sentences(tmp_path: Path) -> None:
    names = [f"nurse.someone.1.{gender}.txt\t{gender}" for gender in ("neutral", "female", "male")]
    (tmp_path / "all_sentences.tsv").write_text("\n".join(["sentid\tsentence", *names]))
    assert read_gender_bias(tmp_path).women == {}
    (tmp_path / "occupations-stats.tsv").write_text("occupation\tbls_pct_female\nnurse\t89.58\n")
    assert read_gender_bias(tmp_path).women == {"nurse": 89.58}
    assert read_gender_bias(tmp_path / "all_sentences.tsv").women == {"nurse": 89.58}
    (tmp_path / "other.csv").write_text("occupation,women\nnurse,11\n")
    assert read_gender_bias(tmp_path, tmp_path / "other.csv").women == {"nurse": 11}


def test_a_suite_may_hold_it(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("occupation,anchor,female,male\nnurse,a,b,c\n")
    (tmp_path / "women.csv").write_text("occupation,women\nnurse,90\n")
    (tmp_path / "s.toml").write_text('[[task]]\nkind = "gender-bias"\npath = "mine.csv"\nother = "women.csv"\n')
    [found] = load_suite(tmp_path / "s.toml").tasks
    assert isinstance(found, GenderBias) and found.women == {"nurse": 90} and found.name == "mine"


@pytest.mark.slow
def test_the_released_minilm_mirrors_the_labour_market(shared_data: Path) -> None:
    try:
        contender = open_contender("all-MiniLM-L6-v2")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found = read_gender_bias(shared_data / "eval/winogender").evaluate(contender).details
    assert found.correlation.spearman == pytest.approx(0.571, abs=0.002)
    assert found.overall.difference == pytest.approx(-0.0254, abs=0.0002)
    assert found.occupations[0].occupation == "nurse" and found.occupations[-1].occupation == "firefighter"
