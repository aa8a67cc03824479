"""`pairstream evaluate --gender-bias`: what it prints, and its page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pairstream.bias_page import page
from pairstream.cli import main
from trainer.evaluate.gender_bias import BiasReport, Correlation, OccupationBias

JOBS = ("nurse", "pilot", "cook", "smith", "clerk", "a<b>&c")


def write_sentences(folder: Path) -> tuple[Path, Path]:
    """Sentences of which words in common make the female version nearer for the first jobs; and statistics."""
    rows = ["occupation\tanchor\tfemale\tmale"]
    for n, job in enumerate(JOBS):
        for verb in ("waits", "sings", "reads"):
            shared = " ".join(["there"] * n)
            rows.append(
                f"{job}\tthe {job} {verb} here there\tthe {job} {verb} here {shared} she\t{job} {verb} his here"
            )
    (folder / "mine.tsv").write_text("\n".join(rows))
    (folder / "women.csv").write_text("occupation,women\n" + "".join(f"{job},{90 - n}\n" for n, job in enumerate(JOBS)))
    return folder / "mine.tsv", folder / "women.csv"


def call(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["evaluate", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_bias_is_printed_per_occupation_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences, women = write_sentences(tmp_path)
    asked = ("tfidf", "bm25", "--gender-bias", str(sentences), "--occupations", str(women))
    status, out, err = call(capsys, *asked)
    assert (status, err) == (0, "")
    assert "mine: 18 examples, 6 occupations" in out and "tfidf − bm25: gap" in out
    assert "tfidf: gender bias" in out and "bm25: gender bias" in out
    assert re.search(r"Spearman with the share of women  [+-]\d\.\d\d \[.*\], 6 occupations", out)


def test_bias_does_not_count_in_the_mean_of_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences, _ = write_sentences(tmp_path)
    for name in ("sts-a.tsv", "sts-b.tsv"):
        (tmp_path / name).write_text("sentence1\tsentence2\tscore\na b\ta b\t5\na b\ta c\t2\na b\td e\t0\n")
    first, second = (str(tmp_path / name) for name in ("sts-a.tsv", "sts-b.tsv"))
    assert "mean of" not in call(capsys, "tfidf", "--sts", first, "--gender-bias", str(sentences))[1]
    out = call(capsys, "tfidf", "--sts", first, second, "--gender-bias", str(sentences))[1]
    assert "mean of the main scores of 2 tasks\n  tfidf  1.0000" in out


def test_json_holds_every_occupation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences, women = write_sentences(tmp_path)
    status, out, _ = call(capsys, "tfidf", "--gender-bias", str(sentences), "--occupations", str(women), "--json")
    document = json.loads(out)
    assert status == 0 and document["tfidf"]["mine"]["examples"] == 18
    report = document["gender_bias"]["tfidf"]["mine"]
    assert {one["occupation"] for one in report["occupations"]} == set(JOBS)
    assert report["correlation"]["spearman"] == document["tfidf"]["mine"]["spearman"]
    assert report["gap"] == document["tfidf"]["mine"]["gap"] > 0


def test_no_file_means_our_own_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "tfidf", "--gender-bias", "--json")
    assert status == 0
    assert json.loads(out)["tfidf"] == {"own sentences": json.loads(out)["tfidf"]["own sentences"]}


def test_the_page_shows_every_occupation_and_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentences, women = write_sentences(tmp_path)
    plot = tmp_path / "new/bias.html"
    argv = ("tfidf", "--gender-bias", str(sentences), "--occupations", str(women), "--plot", str(plot))
    assert call(capsys, *argv)[0] == 0
    text = plot.read_text(encoding="utf-8")
    assert [path.name for path in plot.parent.iterdir()] == ["bias.html"]
    assert "a&lt;b&gt;&amp;c" in text and "<b>" not in text
    assert text.count("<circle") == 1 + 2 * len(JOBS)
    assert not re.search(r'(src|href)="', text) and "<script" not in text and "prefers-color-scheme: dark" in text
    assert call(capsys, *argv)[0] == 0 and plot.read_text(encoding="utf-8") == text


def bias(job: str, difference: float, women: float | None = None, *, sure: bool = True) -> OccupationBias:
    interval = (difference - 0.01, difference + 0.02) if sure else None
    return OccupationBias(job, 3, 0.5, (0.2, 0.8), difference, interval, women)


def dots(document: bytes) -> list[tuple[float, float]]:
    """(x, y) of the dots, in per cent."""
    body = document.decode().split("<body>")[1].split("</body>")[0]
    root = ElementTree.fromstring(body)  # well-formed
    return [(float(dot.attrib["cx"][:-1]), float(dot.attrib["cy"][:-1])) for dot in root.iter("circle")]


def test_dots_stand_where_their_numbers_say() -> None:
    occupations = (bias("x", 0.05, 80.0), bias("y", -0.01, 50.0), bias("z", -0.05, 20.0), bias("w", -0.06, sure=False))
    report = BiasReport(bias("all", 0.0), 0.04, occupations, Correlation(1.0, (0.5, 1.0), 3))
    (of_all, *rows), market = dots(page({"e": {"t": report}}))[:5], dots(page({"e": {"t": report}}))[5:]
    xs = [x for x, _ in rows]
    assert xs == sorted(xs, reverse=True) and rows[0][0] > of_all[0] > rows[1][0]
    assert (xs[0] - xs[1]) / (xs[1] - xs[2]) == pytest.approx(0.06 / 0.04, rel=0.01)
    assert [x for x, _ in market] == [80, 50, 20]
    ys = [y for _, y in market]
    assert ys == sorted(ys) and all(0 <= place <= 100 for dot in (*rows, *market) for place in dot)
    assert (ys[1] - ys[0]) / (ys[2] - ys[1]) == pytest.approx(0.06 / 0.04, rel=0.01)


@pytest.mark.parametrize("difference", [0.0, 1e-7, -0.5, 12.0])
def test_a_page_can_be_drawn_of_any_differences(difference: float) -> None:
    report = BiasReport(bias("all", difference), 0.0, (bias("x", difference, sure=False),), None)
    assert len(dots(page({"e": {"t": report}}))) == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["tfidf"], "or --gender-bias"),
        (["tfidf", "--sts", "x", "--occupations", "w.csv"], "--occupations w.csv belongs to --gender-bias"),
        (["tfidf", "--suite", "small", "--plot", "p.html"], "--plot p.html shows gender bias"),
        (["tfidf", "--gender-bias", "--plot", "."], "--plot . is a folder"),
    ],
)
def test_calls_that_ask_for_nothing_are_refused(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, *argv)
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "tfidf", "--gender-bias", "nowhere.tsv")
    assert status == 1 and err == "pairstream evaluate: nowhere.tsv not found; expected an evaluation file\n"
