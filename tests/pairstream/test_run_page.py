import dataclasses
import json
import re
import sys
from types import SimpleNamespace

import orjson
import pytest

from configs.quickstart import config
from pairstream import report, train
from pairstream.cli import UsageError
from pairstream.report_html import Html
from pairstream.run_facts import Best, RunFacts
from pairstream.run_log import read_log
from pairstream.run_page import SUMMARY, run_page, write_run_page
from pairstream.run_state import at_the_top

LINES = [
    {
        "step": step,
        "loss": 3.0 / step,
        "learning_rate": 1e-4,
        "pairs_per_second": 20.0,
        "skipped": float(step == 3),
        "skipped_in_row": float(step == 3),
        "masked_false_negatives": 2.0,
        "gradient_norm": None if step == 2 else 1.0,
        "datasets": {"first <set>": {"pairs": 40, "loss": 1.0 / step, "accuracy": 0.5}},
        **({"scores": {"mean": 0.5 + step / 10, "a/ndcg@10": 0.4}} if step % 2 == 0 else {}),
    }
    for step in range(1, 5)
]
SPOILT = {
    "step": 5,
    "loss": None,
    "gradient_norm": None,
    "skipped": 1.0,
    "skipped_in_row": 1.0,
    "pairs_per_second": 20.0,
    "datasets": {"first <set>": {"pairs": 4, "loss": None, "accuracy": 0}},
}


def written(lines):
    return [orjson.dumps(line) + b"\n" for line in lines]


def page_of(lines, facts=RunFacts(), config=config):  # noqa: B008 - frozen
    log = read_log(written(lines), config.batch_size)
    return run_page(config, log, at_the_top(config, log, facts)).decode()


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.fixture
def run(tmp_path):
    """A run's folder, stopped by force after four of 48 steps, a fifth half written."""
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(written(LINES)) + b'{"step":5,"lo')
    (tmp_path / "record.json").write_text(json.dumps({"command": "pairstream train x", "hardware": "8 × TPU v3"}))
    return tmp_path


def test_the_page_needs_nothing_else_and_shows_what_the_log_says():
    page = page_of(LINES)
    assert not re.search(r"<script|https?://|url\(|@import", page)
    for shown in ("quickstart", "step 4 of 48", "0.750", "0.0001", "0.9000"):
        assert shown in page, shown
    assert "first &lt;set&gt;" in page and "<set>" not in page
    assert "Model FLOPs utilisation" not in page  # of which this log says nothing


def test_values_that_were_not_finite_are_said_to_be():
    page = page_of([*LINES, SPOILT])
    assert re.search(r"Loss +not finite", text_of(page))
    assert re.search(r"first &lt;set&gt; 164 100.0% not finite 0.000", text_of(page))
    assert "nan" not in page.lower().replace("finance", "")


def test_all_figures_have_one_axis_of_steps():
    page = page_of([*LINES, SPOILT])
    axes = [tuple(re.findall(r'y="100%"[^>]*>([^<]+)', figure)) for figure in re.findall(r"<figure>.*?</figure>", page)]
    assert len(axes) > 5 and set(axes) == {("0", "1", "2", "3", "4", "5", "step")}


@pytest.mark.parametrize("metrics", [LINES[:0], [SPOILT]])
def test_a_run_that_never_had_a_finite_loss_has_a_page(metrics):
    page = text_of(page_of([{"step": 0, "scores": {"mean": 0.5}}, *metrics]))
    assert "Score: mean" in page and ("Loss not finite" in page) == bool(metrics)


def test_the_state_of_the_run_stands_at_the_top():
    assert "Finished: all of 4 steps" in page_of(LINES, config=dataclasses.replace(config, steps=4))
    unfinished = text_of(page_of(LINES))
    assert "Not finished: step 4 of 48" in unfinished and "update in the last" not in unfinished


@pytest.mark.parametrize(
    ("in_row", "said"),
    [
        (1, "No update in the last step, for"),
        (config.stop_after_skipped, f"Diverged: no update in the last {config.stop_after_skipped} steps, for"),
    ],
)
def test_a_run_that_makes_no_updates_says_so_at_the_top(in_row, said):
    page = text_of(page_of([*LINES, {**SPOILT, "skipped_in_row": float(in_row)}]))
    assert "Not finished: step 5 of 48" in page and said in page


def test_totals_stand_at_the_top():
    top = text_of(page_of([*LINES, SPOILT])).partition("Curves")[0]
    assert "Steps without an update 2 " in top
    assert "Documents masked as false negatives 6 in all" in top


def test_what_the_folder_tells_stands_at_the_top(run):
    facts = RunFacts(command="c <d>", hardware="8 × TPU v3", checkpoints=(2, 4), best=Best(2, 0.7, "mean of x"))
    page = page_of(LINES, facts)
    assert "c &lt;d&gt;" in page
    top = text_of(page)
    for shown in ("Hardware 8 × TPU v3", "Checkpoints kept of step 2, 4", "Best of them step 2: 0.7000, mean of x"):
        assert shown in top, shown
    assert write_run_page(run)
    top = text_of((run / SUMMARY).read_text())
    assert re.search(r"Last line of the log \d{4}-\d\d-\d\d \d\d:\d\d UTC; the next was due some", top)
    assert re.search(r"Begun, the last time \d{4}-", top) and "Command pairstream train x Checkpoints kept none" in top
    many = text_of(page_of(LINES, RunFacts(checkpoints=tuple(range(1, 31)))))
    assert "of step 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, and 20 earlier ones" in many


def test_equal_logs_give_equal_pages():
    assert page_of(LINES) == page_of(LINES)
    log = read_log(written(LINES), config.batch_size)
    assert run_page(config, log, Html("")) != run_page(dataclasses.replace(config, seed=1), log, Html(""))


@pytest.mark.parametrize("content", [None, b"", b'{"step":1,"lo'])
def test_a_run_without_a_log_has_no_page(run, content):
    (run / "metrics.jsonl").unlink()
    if content is not None:
        (run / "metrics.jsonl").write_bytes(content)
    assert write_run_page(run) is None
    assert not list(run.glob(f"{SUMMARY}*"))
    with pytest.raises(ValueError, match="nothing logged yet"):
        report.main([str(run)])


def test_report_writes_the_page_of_a_run_at_any_time(run, capsys):
    report.main([str(run)])
    assert f"{run / SUMMARY}: the run's state and curves" in capsys.readouterr().out
    assert "step 4 of 48" in (run / SUMMARY).read_text()
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(b"\n" + orjson.dumps(SPOILT) + b"\n")
    report.main([str(run)])
    assert "step 5 of 48" in (run / SUMMARY).read_text()
    report.main([str(run), "--output", str(run / "other.html")])
    assert (run / "other.html").read_bytes() == (run / SUMMARY).read_bytes()
    with pytest.raises(OSError, match=r"no/page.html: cannot be written .*--output"):
        report.main([str(run), "--output", str(run / "no" / "page.html")])


@pytest.mark.parametrize("option", [["--json"], ["--sample", "5"], ["--tokenizer", "t"], ["--rejects", "r"]])
def test_report_refuses_for_a_run_what_is_for_datasets(run, option):
    with pytest.raises(UsageError, match=f"{option[0]} is for datasets; .* is a run's folder"):
        report.main([str(run), *option])
    assert not (run / SUMMARY).exists()


def training(run, monkeypatch, lines, error):
    """`pairstream train` in the folder, where the training logs some lines and raises."""

    def raises(config, folder, **_):
        if lines:
            (folder / "metrics.jsonl").write_bytes(b"".join(written(lines)))
        raise error

    # In place of the modules, which take ten seconds to import.
    monkeypatch.setitem(sys.modules, "trainer.train", SimpleNamespace(train=raises))
    monkeypatch.setitem(sys.modules, "trainer.compile_cache", SimpleNamespace(keep_compiled=lambda: None))
    train.main(["quickstart", "--output", str(run)])


@pytest.mark.parametrize("error", [RuntimeError("not finite 10 times in a row"), KeyboardInterrupt()])
def test_a_training_that_raises_leaves_its_page(run, monkeypatch, capsys, error):
    (run / "metrics.jsonl").unlink()
    with pytest.raises(type(error)) as raised:
        training(run, monkeypatch, [*LINES, SPOILT], error)
    assert raised.value is error
    assert "No update in the last step" in (run / SUMMARY).read_text()
    assert f"curves so far: {run / SUMMARY}" in capsys.readouterr().err


def test_a_page_that_fails_hides_no_error_of_the_training(run, monkeypatch):
    (run / "metrics.jsonl").unlink()
    (run / "config.json").write_text("{")
    with pytest.raises(RuntimeError, match="the first"):
        training(run, monkeypatch, LINES, RuntimeError("the first"))
    assert not (run / SUMMARY).exists()


def test_a_training_that_is_refused_leaves_the_folder_as_it_was(run, monkeypatch):
    before = {path: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(ValueError, match="other settings"):
        training(run, monkeypatch, [], ValueError("other settings"))
    assert before == {path: path.read_bytes() for path in run.iterdir()}
