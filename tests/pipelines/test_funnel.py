import apache_beam as beam
import pytest
from apache_beam.pvalue import AsList
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from pipelines.funnel import BAD_FILES, STAGES, TALLIES, BadFile, Drop, Read, build_funnel, counted
from schemas.manifest import Stage

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def outcomes(number: int):
    """Every number is read; every third is dropped, sevens come from a bad file."""
    yield Read("d")
    if number % 3 == 0:
        yield Drop("d", "pair", "by_three")
    elif number % 7 == 0:
        yield BadFile(f"file {number}")
    else:
        yield number


def test_counts_leave_as_data_and_the_rest_goes_on():
    with beam.Pipeline(runner=RUNNER) as pipeline:
        found = pipeline | beam.Create(range(30)) | beam.Reshuffle() | counted("Count", outcomes)
        assert_that(found.main, equal_to([n for n in range(30) if n % 3 and n % 7]), label="main")
        assert_that(found[BAD_FILES], equal_to(["file 7", "file 14", "file 28"]), label="bad files")
        assert_that(
            found[TALLIES] | beam.CombinePerKey(sum),
            equal_to([(("d", "", ""), 30), (("d", "pair", "by_three"), 10)]),
            label="tallies",
        )


def test_counts_of_several_records_and_datasets_are_summed_apart():
    def generate(_):
        yield Read("one", 5)
        yield Drop("one", "dedup", "duplicate", 3)
        yield Read("two", 1)

    with beam.Pipeline(runner=RUNNER) as pipeline:
        found = pipeline | beam.Create([1, 2]) | counted("Count", generate)
        expected = [(("one", "", ""), 10), (("one", "dedup", "duplicate"), 6), (("two", "", ""), 2)]
        assert_that(found[TALLIES] | beam.CombinePerKey(sum), equal_to(expected))


def test_further_arguments_and_side_inputs_reach_the_generator():
    def generate(element, factor, others):
        yield element * factor + len(others)

    with beam.Pipeline(runner=RUNNER) as pipeline:
        side = pipeline | "Side" >> beam.Create(["a", "b", "c"])
        found = pipeline | beam.Create([1, 2]) | counted("Count", generate, 10, AsList(side))
        assert_that(found.main, equal_to([13, 23]))


def test_the_funnel_has_every_stage_in_order_and_adds_up():
    tallies = {
        ("d", "", ""): 100,
        ("d", "read", "not_json"): 5,
        ("d", "filter", "too_short"): 7,
        ("d", "filter", "a_first"): 1,
        ("d", "dedup", "duplicate"): 2,
        ("other", "", ""): 50,
        ("other", "read", "not_json"): 50,
    }
    read, stages = build_funnel("d", tallies)
    assert read == 100
    assert stages == (
        Stage("read", 95, {"not_json": 5}),
        Stage("pair", 95, {}),
        Stage("filter", 87, {"a_first": 1, "too_short": 7}),
        Stage("dedup", 85, {"duplicate": 2}),
        Stage("split", 85, {}),
    )


@given(st.dictionaries(st.tuples(st.just("d"), st.sampled_from(STAGES), st.text("ab", max_size=2)), st.integers(1, 50)))
def test_what_is_read_is_what_is_kept_plus_all_drops(drops):
    read, stages = build_funnel("d", {("d", "", ""): 1000, **drops})
    assert read == stages[-1].kept + sum(drops.values())
    assert sum(sum(stage.drops.values()) for stage in stages) == sum(drops.values())


@pytest.mark.parametrize("name", ["", "never_seen"])
def test_a_dataset_without_records_has_an_empty_funnel(name):
    read, stages = build_funnel(name, {})
    assert read == 0 and [stage.kept for stage in stages] == [0] * len(STAGES)
