import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipelines.decontaminate import EvalOptions
from pipelines.filters.options import FilterOptions
from pipelines.job import LOCAL_RUNNER, Job
from pipelines.sources.docstrings import Docstrings
from pipelines.sources.reddit import Reddit

RULES = Reddit()


def make_job(**changes) -> Job:
    return Job(**{"source": RULES, "inputs": (), "output": "out", **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shard_size": 0}, "shard size is 0; expected at least 1 byte"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"source": Reddit(test_fraction=1.0)}, "test fraction is 1.0"),
        ({"source": Reddit(test_fraction=-0.1)}, "test fraction is -0.1"),
        ({"output": "data/*"}, r"output is 'data/\*'; expected a path without"),
        ({"output": "data [1]"}, "expected a path without"),
        ({"keep_rejects": "rejects/*"}, r"keep_rejects is 'rejects/\*'; expected a path without"),
        ({"dataset": "../x"}, "expected a plain name, relative and without"),
        ({"dedup": "fuzzy"}, "dedup is 'fuzzy'; expected one of exact, near, none"),
        ({"append": True, "overwrite": True}, "exclude each other: add a part, or replace all"),
        ({"max_per_text": 0}, "max_per_text is 0; expected at least 1"),
        ({"passes": 0}, "passes is 0; expected at least 1"),
        ({"workers": 0}, "workers is 0; expected at least 1"),
        ({"memory": "much"}, "size is 'much'; expected bytes, such as 8G"),
        (
            {"source": Docstrings(), "dataset": "x"},
            "names one dataset, but this source writes docstring_code, docstring_body",
        ),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Job(**{"source": RULES, "inputs": (), "output": "out", **changes})


def test_a_single_dataset_lies_straight_under_the_output_and_several_in_folders():
    assert make_job().folder("reddit") == "out"
    assert make_job(source=Docstrings()).folder("docstring_code") == "out/docstring_code"


def test_rejects_lie_under_their_datasets_names():
    targets = make_job(source=Docstrings(), keep_rejects="aside").targets()
    assert {name: target.folder for name, target in targets.items()} == {
        "docstring_code": "out/docstring_code",
        "docstring_body": "out/docstring_body",
        "docstring_code/rejects": "aside/docstring_code",
        "docstring_body/rejects": "aside/docstring_body",
    }
    assert list(make_job(dataset="other", keep_rejects="aside").targets()) == ["other", "other/rejects"]


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"seed": 1}, "seed"),
        ({"shard_size": 1}, "shard_size"),
        ({"dedup": "near"}, "dedup"),
        ({"max_per_text": 4}, "max_per_text"),
        ({"filters": FilterOptions(filters="clean")}, "filters"),
        ({"evaluation": EvalOptions(eval_texts=("a",))}, "eval_texts"),
        ({"source": Reddit(depth=2)}, "depth"),
    ],
    ids=str,
)
def test_what_decides_the_bytes_is_in_the_options(change, option):
    assert make_job(**change).options[option] != make_job().options[option]


@pytest.mark.parametrize("change", [{"memory": "4G"}, {"passes": 9}, {"workers": 3}, {"spill": False}, {"output": "b"}])
def test_what_never_shows_in_the_bytes_is_not_in_the_options(change):
    assert make_job(**change).options == make_job().options


def test_the_clean_filters_set_what_the_source_leaves_open():
    job = make_job(filters=FilterOptions(filters="clean"))
    assert job.source == RULES.cleaned() != RULES
    assert job.options["drop_bots"] is True and make_job().options["drop_bots"] is None


def test_workers_are_processes_of_the_local_runner():
    assert make_job().is_local and make_job().local_workers == 1
    job = make_job(workers=3)
    direct = job.beam.view_as(DirectOptions)
    assert direct.direct_num_workers == 3
    assert job.local_workers == 3 and job.beam.view_as(StandardOptions).runner == LOCAL_RUNNER


def test_on_a_cluster_nothing_is_local():
    job = make_job(beam_options=("--runner=DataflowRunner",), workers=3)
    assert not job.is_local and job.local_workers == 1
