"""When one call takes up the work of another."""

import os
import runpy

import pytest

from pipelines.job import Job
from pipelines.preprocess import _identity
from pipelines.sources.reddit import Reddit

SOURCE = """
from pipelines.sources.base import DatasetInfo
from pipelines.sources.records import RecordSource, text_lines

def pairs(line, dataset, options):
    yield {reason!r}

source = RecordSource(DatasetInfo("r", "a", "CC0", "c", "https://example.org", raw="lines"), text_lines, pairs)
"""


@pytest.fixture
def dump(tmp_path):
    (tmp_path / "dump").write_text("{}\n")
    return str(tmp_path / "dump")


def identity(source, dump, eval_hash="", **changes):
    job = Job(source, (dump,), "/nowhere", **changes)
    return _identity(job, source.find_inputs((dump,)), job.targets(), eval_hash)


def test_the_same_call_goes_on_and_another_does_not(dump):
    same = identity(Reddit(), dump)
    assert identity(Reddit(), dump) == same
    others = [
        identity(Reddit(depth=3), dump),
        identity(Reddit(), dump, seed=1),
        identity(Reddit(), dump, passes=8),
        identity(Reddit(), dump, eval_hash="ab"),
        identity(Reddit(), dump, dedup="near"),
    ]
    assert len({same, *others}) == 6


def test_an_input_that_was_changed_is_another(dump):
    before = identity(Reddit(), dump)
    os.utime(dump, (1, 1))
    assert identity(Reddit(), dump) != before


def test_a_source_whose_code_was_changed_is_another(dump, tmp_path):
    path = tmp_path / "mine.py"

    def with_reason(reason):
        path.write_text(SOURCE.format(reason=reason))
        return identity(runpy.run_path(str(path))["source"], dump)

    assert with_reason("one") != with_reason("another")


def test_a_list_of_names_that_was_changed_is_another(dump, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("pics\n")
    before = identity(Reddit(deny_subreddits=(str(names),)), dump)
    names.write_text("pics\nfunny\n")
    assert identity(Reddit(deny_subreddits=(str(names),)), dump) != before
