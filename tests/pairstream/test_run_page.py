import dataclasses
import re

import orjson
import pytest

from configs.quickstart import config
from pairstream.curves import Curve, curves, thin
from pairstream.run_page import SUMMARY, run_page, write_run_page

LINES = [
    {
        "step": step,
        "loss": 3.0 / step,
        "learning_rate": 1e-4,
        "pairs_per_second": 20.0,
        "gradient_norm": None if step == 2 else 1.0,
        "datasets": {"first <set>": {"pairs": 40, "loss": 1.0 / step, "accuracy": 0.5}},
        **({"scores": {"mean": 0.5 + step / 10, "a/ndcg@10": 0.4}} if step % 2 == 0 else {}),
    }
    for step in range(1, 5)
]


def test_the_page_needs_nothing_else_and_shows_what_the_log_says():
    page = run_page(config, LINES).decode()
    assert not re.search(r"<script|https?://|url\(|@import", page)
    for shown in ("quickstart", "4 of 48 steps", "0.750", "0.0001", "0.9000"):
        assert shown in page, shown
    assert "first &lt;set&gt;" in page and "<set>" not in page
    assert "Model FLOPs utilisation" not in page  # of which this log says nothing


def test_values_that_were_not_finite_are_left_out():
    spoilt = {
        **LINES[-1],
        "step": 5,
        "loss": None,
        "datasets": {"first <set>": {"pairs": 4, "loss": None, "accuracy": 0}},
    }
    page = run_page(config, [*LINES, spoilt]).decode()
    assert "–" in page and "nan" not in page.lower().replace("finance", "")


def test_equal_logs_give_equal_pages():
    assert run_page(config, LINES) == run_page(config, LINES)
    assert run_page(config, LINES) != run_page(dataclasses.replace(config, seed=1), LINES)


def test_a_run_without_a_log_has_no_page(tmp_path):
    assert write_run_page(tmp_path, config, tmp_path / "metrics.jsonl") is None
    assert not list(tmp_path.iterdir())


def test_the_page_lies_in_the_runs_folder(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in LINES))
    page = write_run_page(tmp_path, config, log)
    assert page == tmp_path / SUMMARY
    assert (tmp_path / SUMMARY).read_bytes() == run_page(config, LINES)


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-3.0, 5.0], [1e-9, 2e-9], [1e6, 1e6 + 1], [0.1, 0.9, 0.5]])
def test_every_point_lies_within_the_plot(values):
    figure = curves("t", [Curve("c", list(enumerate(values)))], form="{:g}".format)
    (points,) = re.findall(r'points="([^"]+)"', figure)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert len(places) == len(values)
    assert all(-1e-6 <= coordinate <= 100 + 1e-6 for place in places for coordinate in place)
    heights = [-y for _, y in places]
    assert [heights.index(h) for h in sorted(heights)] == [values.index(v) for v in sorted(values)]


def test_long_curves_keep_their_ends():
    points = [(step, float(step)) for step in range(1000)]
    kept = thin(points, 7)
    assert len(kept) == 7 and kept[0] == points[0] and kept[-1] == points[-1]
    assert thin(points[:5], 7) == points[:5]
