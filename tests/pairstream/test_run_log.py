import orjson
import pytest

from pairstream.run_log import read_log
from pairstream.series import MOST_BUCKETS


def written(*lines):
    return [orjson.dumps(line) + b"\n" for line in lines]


def test_totals_are_over_all_steps():
    log = read_log(
        written(
            {"step": 10, "skipped": 0.0, "masked_false_negatives": 1.5, "pairs_per_second": 8.0},
            {"step": 20, "skipped": 4.0, "masked_false_negatives": 2.0, "pairs_per_second": 4.0},
            {"step": 22, "skipped": 2.0, "masked_false_negatives": 9.0, "pairs_per_second": 16.0},
        ),
        batch_size=16,
    )
    assert (log.step, log.total("skipped")) == (22, 6)
    assert log.masked == 10 * 1.5 + 6 * 2.0  # of a step without an update nothing was masked
    assert log.seconds == 10 * 16 / 8 + 10 * 16 / 4 + 2 * 16 / 16


def test_the_last_values_are_of_the_last_line_that_has_them():
    log = read_log(
        written(
            {"step": 1, "loss": 2.0, "datasets": {"a": {"pairs": 3, "loss": 1.0, "accuracy": 0.5}}},
            {"step": 2, "loss": None, "datasets": {"a": {"pairs": 4, "loss": None, "accuracy": 0.25}}},
            {"step": 3, "scores": {"mean": 0.5}},
        ),
        batch_size=4,
    )
    loss, of_one = log.metrics["loss"], log.datasets["a"]
    assert (loss.latest, loss.last, loss.lines) == (None, (1, 2.0), 2)
    assert (of_one.pairs, of_one.loss.latest, of_one.accuracy) == (7, None, 0.25)
    assert log.scores["mean"].last == (3, 0.5) and log.masked is None


@pytest.mark.parametrize("cut", [b'{"step":2,"lo', b'{"step":2,"loss":1.0}', b"\0\0\0\n", b"[1]\n", b'{"loss":1.0}\n'])
def test_a_line_that_a_kill_cut_short_is_passed_over(cut):
    log = read_log([*written({"step": 1, "loss": 2.0}), cut], batch_size=4)
    assert log.step == 1 and log.metrics["loss"].lines == 1


def test_what_is_kept_does_not_grow_with_the_log():
    def lines():
        for step in range(1, 5001):
            yield from written({"step": step, "loss": 1.0, "datasets": {"a": {"pairs": 1, "loss": 1, "accuracy": 1}}})

    log = read_log(lines(), batch_size=4)
    for series in (log.metrics["loss"], log.datasets["a"].loss):
        assert series.lines == 5000
        assert sum(map(len, series.pieces())) <= 2 * MOST_BUCKETS + 2


def test_a_log_without_a_line_is_empty():
    assert read_log([], batch_size=4).empty and read_log([b"{"], batch_size=4).empty
    assert not read_log(written({"step": 0, "scores": {"mean": 0.1}}), batch_size=4).empty
