import gc
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipelines.collect import CELLS, PairRules
from pipelines.dedup import from_blob
from pipelines.funnel import BadFile, Drop, Keyed, KeyedBlock, Origin, Read
from pipelines.job import LOCAL_RUNNER
from pipelines.shuffle import SPILLS, Blob, Cap, Outbox, SpilledBlobs
from pipelines.stages import BAD_FILES, SAMPLES, TALLIES, RunStage, StagePlan, Task, Work, outputs_of, stage_name
from schemas.pair import Pair

RULES = PairRules((), 0.0, 0, bits=2)


def plan(function, *, number: int = 0, spills: str | None = None, rules: PairRules = RULES, **changes) -> StagePlan:
    return StagePlan(number, function, rules, "", spills, **changes)


def outcomes(path: str):
    """Every number up to the path's is read; every third is dropped, sevens come from a bad file."""
    for number in range(int(path)):
        yield Read("d")
        if number % 3 == 0:
            yield Drop("d", "pair", "by_three", texts=(f"text {number}",))
        elif number % 7 == 0:
            yield BadFile(f"file {number}")
        elif number % 5 == 0:
            yield Keyed("key", number)
        else:
            yield Pair("d", "anchor", f"positive {number}")
    yield Origin("d", "site", "islam", 2)


def test_counts_leave_as_data_and_the_rest_goes_on():
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        tasks = pipeline | beam.Create([Task(0, ("30",)), Task(1, ("15", "0"))]) | beam.Reshuffle()
        found: Any = tasks | beam.ParDo(RunStage(plan(outcomes))).with_outputs(*outputs_of(["stage1"]))
        counts = [(("d", "", ""), 45), (("d", "pair", "by_three"), 15), (("d", "origin/site", "islam"), 6)]
        assert_that(found[TALLIES] | beam.CombinePerKey(sum), equal_to(counts), label="tallies")
        bad = [f"file {n}" for n in (7, 14, 28, 7, 14)]
        assert_that(found[BAD_FILES], equal_to(bad), label="bad files")
        later = [b'{"key":[5,10,20,25]}', b'{"key":[5,10]}']
        assert_that(found["stage1"] | beam.MapTuple(lambda _, blob: blob), equal_to(later), label="keyed")
        records = found[CELLS] | "Count" >> beam.MapTuple(lambda _, blob: len(from_blob(blob).keys))
        pairs = sum(n % 3 > 0 and n % 7 > 0 and n % 5 > 0 for of in (30, 15) for n in range(of))
        assert_that(records | beam.CombineGlobally(sum), equal_to([pairs]), label="cells")
        sampled = found[SAMPLES] | "Of" >> beam.Keys() | beam.Distinct()
        assert_that(sampled, equal_to([("d", "pair", "by_three")]), label="samples")


def test_a_value_may_skip_stages_and_a_block_is_for_the_next():
    def function(path):
        yield Keyed("a", 1, stage=3)
        yield KeyedBlock([("b", 2), ("b", 3)], 10)

    found = list(RunStage(plan(function, number=1)).outputs(Task(0, ("x",))))
    assert [(tag, value.data) for tag, value in found] == [("stage3", b'{"a":[1]}'), (stage_name(2), b'{"b":[2,3]}')]


def test_a_splittable_source_is_told_its_stripe():
    def function(path, stripe, stripes):
        yield Read("d", 10 * stripe + stripes)

    task = Task(0, ("x",), 2, 5)
    assert list(RunStage(plan(function, splittable=True)).outputs(task)) == [(TALLIES, (("d", "", ""), 25))]


@pytest.mark.parametrize("spilled", [True, False])
def test_a_later_stage_is_given_all_values_of_a_key_and_no_more_than_the_cap(tmp_path, spilled):
    outbox, blobs = Outbox(2), []
    for number in range(40):
        outbox.put("stage1", "hot" if number % 2 else "cold", number)
        if number % 9 == 0:
            blobs += outbox.flush()
    blobs += outbox.flush()

    def function(element):
        key, values = element
        yield Read("d", sum(values))
        yield Read(key, len(values))

    cap = Cap(12, lambda value: value, lambda value: Drop("d", "pair", "too_many"))
    work = RunStage(plan(function, number=1, spills=str(tmp_path) if spilled else None, cap=cap))
    counts: Counter = Counter()
    for partition in {blob.partition for blob in blobs}:
        for tag, value in work._once((partition, [blob.data for blob in blobs if blob.partition == partition])):
            if tag == TALLIES:
                counts[value[0]] += value[1]
    expected = sum(range(0, 24, 2)) + sum(range(1, 24, 2))
    assert counts == {("d", "", ""): expected, ("hot", "", ""): 12, ("cold", "", ""): 12, ("d", "pair", "too_many"): 16}


# Each piece once


class Counting(Work):
    """Counts how often it works."""

    def __init__(self, spills: str | None, fail: bool = False) -> None:
        super().__init__("counting", spills, 1)
        self.worked, self.fail = 0, fail

    def outputs(self, element, *sides):
        self.worked += 1
        yield "blobs", Blob("blobs", 1, b"content")
        yield TALLIES, (("d", "", ""), 5)
        yield SAMPLES, (("d", "read", "why"), [(2**64 - 1, ("text", "é"))])
        if self.fail:
            raise OSError("full")
        yield BAD_FILES, "file"


def test_finished_work_is_read_and_not_done_again(tmp_path):
    first, second = Counting(str(tmp_path)), Counting(str(tmp_path))
    outputs = list(first._once((7, "element")))
    (tag, spill), *others = outputs
    assert tag == SPILLS and list(SpilledBlobs(str(tmp_path), [spill], "blobs", 1)) == [b"content"]
    assert others == [
        (TALLIES, (("d", "", ""), 5)),
        (SAMPLES, (("d", "read", "why"), ((2**64 - 1, ("text", "é")),))),
        (BAD_FILES, "file"),
    ]
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert list(second._once((7, "element"))) == outputs and (first.worked, second.worked) == (1, 0)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == files
    assert list(second._once((8, "element"))) != outputs and second.worked == 1


def test_work_that_failed_leaves_nothing_and_is_done_again(tmp_path):
    with pytest.raises(OSError, match="full"):
        list(Counting(str(tmp_path), fail=True)._once((7, "element")))
    assert list(tmp_path.iterdir()) == []
    assert len(list(Counting(str(tmp_path))._once((7, "element")))) == 4


@pytest.mark.parametrize("cut", [0, 10])
def test_a_damaged_list_of_finished_work_is_a_clear_error(tmp_path, cut):
    list(Counting(str(tmp_path))._once((7, "element")))
    (done,) = tmp_path.glob("done-*")
    assert done.name == "done-counting-7.json" and json.loads(done.read_bytes())
    done.write_bytes(done.read_bytes()[:cut])
    with pytest.raises(OSError, match=r"done-counting-7\.json: damaged or cut short; run the job again"):
        list(Counting(str(tmp_path))._once((7, "element")))


# One piece at a time


class Watched(Work):
    """Knows how many pieces are worked on at one time."""

    def __init__(self, spills: str | None) -> None:
        super().__init__("watched", spills, 1)
        self.at_work = self.most = 0
        self.collecting: list[bool] = []

    def outputs(self, element, *sides):
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.collecting.append(gc.isenabled())
        time.sleep(0.01)
        yield BAD_FILES, f"file {element[0]}"
        time.sleep(0.01)
        self.at_work -= 1


@pytest.mark.parametrize("spilled", [True, False])
def test_one_piece_of_work_at_a_time_whatever_the_threads(tmp_path, spilled):
    works = [Watched(str(tmp_path) if spilled else None) for _ in range(2)]  # two stages of one process
    works[1].__dict__ = works[0].__dict__
    found: list[str] = []

    def run(number: int) -> None:
        for output in works[number % 2].process((number, "element")):
            found.append(str(output.value))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert works[0].most == 1 and sum(name.startswith("file") for name in found) == 8
    assert works[0].collecting == [False] * 8 and gc.isenabled()  # the collector of cycles is back when all is done


def test_files_of_a_piece_appear_whole(tmp_path, monkeypatch):
    from pipelines.stages import write_whole

    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr("os.rename", refuse)
    with pytest.raises(OSError, match="no"):
        write_whole(str(tmp_path / "name"), b"content")
    assert not Path(tmp_path / "name").exists()
