import gzip
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mixture import BatchPolicy, Mixture, MixtureEntry, WeightSegment
from schemas.weights import WeightRule

GOOD = {"name": "good.jsonl.gz", "lines": 5, "weight": 1}


def test_the_real_config_is_read_whole(shared_data):
    mixture = Mixture.load(shared_data / "mixtures/all_datasets_v4.data_config.json.gz")
    assert len(mixture.datasets) == 290
    assert sum(entry.lines or 0 for entry in mixture.datasets) == 1_170_060_424
    assert sum(Fraction(entry.weight) for entry in mixture.datasets) == 4737 == mixture.total_weight
    names = {entry.name for entry in mixture.datasets}
    assert "stackexchange_title_body/skeptics.stackexchange.com" in names
    assert not any(name.endswith(".gz") for name in names)


def write(tmp_path, document):
    path = tmp_path / "data_config.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def test_the_flat_list_is_read_in_order(tmp_path):
    mixture = Mixture.load(write(tmp_path, [{"name": "b/x.jsonl.gz", "lines": 2, "weight": 0.5}, GOOD]))
    assert mixture == Mixture((MixtureEntry("b/x", 0.5, 2), MixtureEntry("good", 1, 5)), 0, BatchPolicy(1024, 2))


def test_the_object_adds_seed_and_batch(tmp_path):
    mixture = Mixture.load(write(tmp_path, {"seed": 7, "batch": {"size": 64, "slots": 4}, "datasets": [GOOD]}))
    assert mixture == Mixture((MixtureEntry("good", 1, 5),), 7, BatchPolicy(64, 4))


def test_a_gzipped_config_reads_like_a_plain_one(tmp_path):
    content = json.dumps([GOOD]).encode()
    assert Mixture.load(write(tmp_path, gzip.compress(content))) == Mixture.load(write(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1}, "weight is -1; expected a number of at least 0"),
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": float("inf")}, "weight is inf"),
        ({"weight": "5"}, "weight is '5'"),
        ({"weight": True}, "weight is True"),
        ({"weight": None}, "weight is None"),
        ({"wieght": 3}, "unknown key 'wieght'; known keys: lines, max_epochs, name, weight"),
        ({"lines": -1}, "lines is -1"),
        ({"lines": 1.5}, "lines is 1.5"),
        ({"name": "../out.jsonl.gz"}, "must stay below the data folder"),
        ({"name": "a/../../b"}, "must stay below the data folder"),
        ({"name": "/etc/passwd"}, "must stay below the data folder"),
        ({"name": ".jsonl.gz"}, "must stay below the data folder"),
        ({"name": "a//b"}, "must stay below the data folder"),
    ],
)
def test_a_bad_entry_is_refused_by_number_and_name(change, message):
    bad = {"name": "bad", "weight": 1, **change}
    with pytest.raises(ValueError) as error:
        Mixture.from_json([GOOD, bad])
    assert str(error.value).startswith(f"dataset 1 ({bad['name']!r}): {message}") or message in str(error.value)
    assert f"dataset 1 ({bad['name']!r})" in str(error.value)


@pytest.mark.parametrize("bad", [{"weight": 1}, "name", None, {"name": 5, "weight": 1}])
def test_an_entry_without_a_name_is_refused_by_number(bad):
    with pytest.raises(ValueError, match="dataset 1: expected an object with a 'name'"):
        Mixture.from_json([GOOD, bad])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "dataset 'a' is named twice"),
        (["a", "a.jsonl.gz"], "dataset 'a' is named twice"),
        (["a", "a/b"], "dataset 'a/b' lies inside the folder of dataset 'a'"),
        (["x/y/z.jsonl.gz", "x.jsonl.gz"], "dataset 'x/y/z' lies inside the folder of dataset 'x'"),
    ],
)
def test_names_whose_files_would_mix_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        Mixture.from_json([{"name": name, "weight": 1} for name in names])


def test_names_that_merely_begin_alike_are_taken():
    assert len(Mixture.from_json([{"name": name, "weight": 1} for name in ("a", "ab/c", "ab/d")]).datasets) == 3


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "no dataset has a weight above 0"),
        ([{"name": "a", "weight": 0}], "no dataset has a weight above 0"),
        ({}, "expected a list of datasets"),
        ("text", "expected a list of datasets"),
        ({"datasets": {}}, "expected a list of datasets"),
        ({"datasets": [GOOD], "sead": 1}, "unknown key 'sead'"),
        ({"datasets": [GOOD], "seed": -1}, "seed is -1"),
        ({"datasets": [GOOD], "seed": 1.0}, "seed is 1.0"),
        ({"datasets": [GOOD], "seed": 2**63}, "seed is 9223372036854775808"),
        ({"datasets": [GOOD], "batch": 5}, "batch is 5; expected an object"),
        ({"datasets": [GOOD], "batch": {"size": 1}}, "size is 1; expected a whole number of at least 2"),
        ({"datasets": [GOOD], "batch": {"slots": 0}}, "slots is 0"),
        ({"datasets": [GOOD], "batch": {"slots": 2.0}}, "slots is 2.0"),
        ({"datasets": [GOOD], "batch": {"rows": 2}}, "unknown key 'rows'"),
        ({"datasets": [GOOD], "batch": {"policy": "v9"}}, "policy is 'v9'; expected one of"),
        ({"datasets": [GOOD], "max_epochs": 0}, "the mixture: max_epochs is 0; expected a number above 0"),
        ({"datasets": [{**GOOD, "max_epochs": "2"}]}, "max_epochs is '2'"),
        ({"datasets": [GOOD], "weights": 5}, "segment 0: weights is 5; expected a rule or weights by name"),
        ({"datasets": [GOOD], "weights": []}, "weights is an empty list"),
        ({"datasets": [GOOD], "weights": {"bad": 1}}, "segment 0: 'bad' is none of the mixture's datasets"),
        ({"datasets": [GOOD], "weights": {"good": -1}}, "'good': weight is -1"),
        ({"datasets": [GOOD], "weights": {"good": 0}}, "segment 0: no dataset has a weight above 0"),
        ({"datasets": [GOOD], "weights": {"rule": "best"}}, "segment 0: rule is 'best'; expected one of"),
        ({"datasets": [GOOD], "weights": {"rule": "equal", "cap": 5}}, "rule equal: unknown key 'cap'"),
        ({"datasets": [GOOD], "weights": {"rule": "temperature"}}, "expected either 'temperature'"),
        ({"datasets": [GOOD], "weights": {"rule": "temperature", "temperature": 0}}, "temperature is 0"),
        ({"datasets": [GOOD], "weights": {"rule": "proportional", "cap": 0}}, "cap is 0; expected a whole number"),
        ({"datasets": [GOOD], "weights": [{"weights": {"good": 1}}]}, "expected an object with 'from_step'"),
        (
            {"datasets": [GOOD], "weights": [{"from_step": 5, "weights": {"good": 1}}]},
            "segment 0: from_step is 5; expected 0, where the first begins",
        ),
        (
            {"datasets": [GOOD], "weights": [{"from_step": 0, "weights": {"good": 1}}] * 2},
            "segment 1: from_step is 0; expected a whole number of at least 1",
        ),
    ],
)
def test_a_bad_mixture_is_refused(document, message):
    with pytest.raises(ValueError, match=message):
        Mixture.from_json(document)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[{'name': 'a'}]",
        b'[{"name": "a", "weight": NaN}]',
        b"\xff\xfe",
        b"\x1f\x8b",
        b"\x1f\x8b garbage",
    ],
)
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path, content):
    with pytest.raises(ValueError, match=r"data_config\.json: not JSON .*; expected a data_config\.json"):
        Mixture.load(write(tmp_path, content))


LONG = json.dumps([{**GOOD, "name": f"d{n}"} for n in range(50)]).encode()


@given(st.data())
def test_a_gzip_cut_short_is_refused_by_name(tmp_path_factory, data):
    whole = gzip.compress(LONG, mtime=0)
    path = write(tmp_path_factory.mktemp("cut"), whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"data_config\.json: not JSON"):
        Mixture.load(path)


@given(st.data())
def test_a_damaged_gzip_is_refused_by_name_or_reads_the_same(tmp_path_factory, data):
    whole = bytearray(gzip.compress(LONG, mtime=0))
    place = data.draw(st.integers(10, len(whole) - 1))  # the header may say anything
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path = write(tmp_path_factory.mktemp("flip"), bytes(whole))
    try:
        found = Mixture.load(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: not JSON")
    else:
        assert found == Mixture.from_json(json.loads(LONG))


def test_a_wrong_entry_in_a_file_names_the_file_too(tmp_path):
    with pytest.raises(ValueError, match=r"data_config\.json: dataset 0 \('a'\): weight is -3"):
        Mixture.load(write(tmp_path, [{"name": "a", "weight": -3}]))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such mixture"):
        Mixture.load(tmp_path / "nothing.json")


THREE = [{"name": name, "lines": lines} for name, lines in (("a", 100), ("b", 10_000), ("c.jsonl.gz", 2_500_000))]
LINES = {"a": 100, "b": 10_000, "c": 2_500_000}


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({"rule": "equal"}, (1, 1, 1)),
        ({"rule": "proportional"}, (100, 10_000, 2_500_000)),
        ({"rule": "proportional", "cap": 1_000_000}, (100, 10_000, 1_000_000)),
        ({"rule": "temperature", "temperature": 2}, (10, 100, 1581.13883)),
        ({"rule": "temperature", "alpha": 0.5, "cap": 250_000}, (10, 100, 500)),
        ({"rule": "temperature", "temperature": 1}, (100, 10_000, 2_500_000)),
        ({"c.jsonl.gz": 2, "a": 0.5}, (0.5, 0, 2)),
    ],
)
def test_weights_beside_the_list_are_a_rule_or_named(weights, found):
    mixture = Mixture.from_json({"weights": weights, "datasets": THREE})
    assert mixture.weigh(LINES) == ((0, found),)


def test_weights_by_step_are_segments_each_with_its_own():
    weights = [{"from_step": 0, "weights": {"rule": "equal"}}, {"from_step": 50_000, "weights": {"b": 3, "c": 1}}]
    mixture = Mixture.from_json({"weights": weights, "datasets": THREE})
    assert mixture.weigh({}) == ((0, (1, 1, 1)), (50_000, (0, 3, 1)))


def test_without_weights_beside_the_list_the_entries_have_them():
    assert Mixture.from_json([GOOD]).weigh({}) == ((0, (1,)),)


def test_under_a_rule_an_entry_of_weight_zero_stays_out_and_other_weights_mean_nothing():
    datasets = [{**THREE[0], "weight": 0}, {**THREE[1], "weight": 70}, THREE[2]]
    mixture = Mixture.from_json({"weights": {"rule": "equal"}, "datasets": datasets})
    assert mixture.weigh({}) == ((0, (0, 1, 1)),)
    assert mixture.drawn == ("b", "c")


def test_drawn_are_the_datasets_of_any_segment():
    weights = [{"from_step": 0, "weights": {"a": 1}}, {"from_step": 9, "weights": {"c": 1}}]
    assert Mixture.from_json({"weights": weights, "datasets": THREE}).drawn == ("a", "c")
    assert Mixture.from_json([GOOD, {"name": "none", "weight": 0}]).drawn == ("good",)


def test_a_rule_without_the_lines_it_needs_names_the_dataset():
    mixture = Mixture.from_json({"weights": {"rule": "proportional"}, "datasets": THREE})
    with pytest.raises(ValueError, match="the rule proportional needs the lines of 'b'"):
        mixture.weigh({"a": 5, "c": 5})


def test_empty_datasets_have_no_weight_under_a_rule_and_not_all_may_be_empty():
    mixture = Mixture.from_json({"weights": {"rule": "temperature", "temperature": 3}, "datasets": THREE})
    assert mixture.weigh({"a": 0, "b": 8, "c": 27}) == ((0, (0, 2, 3)),)
    with pytest.raises(ValueError, match="all are empty"):
        mixture.weigh({"a": 0, "b": 0, "c": 0})


def test_a_limit_of_epochs_is_the_entry_s_or_the_mixture_s():
    mixture = Mixture.from_json({"max_epochs": 4, "datasets": [GOOD, {"name": "x", "weight": 1, "max_epochs": 1.5}]})
    assert [entry.max_epochs for entry in mixture.datasets] == [4, 1.5]
    assert Mixture.from_json([GOOD]).datasets[0].max_epochs is None


def test_the_real_config_s_weights_are_nearly_its_capped_lines(shared_data):
    """The published rule: in proportion to min(lines, a million), for the datasets that were not halved."""
    mixture = Mixture.load(shared_data / "mixtures/all_datasets_v4.data_config.json.gz")
    capped = Mixture(mixture.datasets, segments=(WeightSegment(0, WeightRule("proportional", cap=1_000_000)),)).weigh(
        {entry.name: entry.lines for entry in mixture.datasets}
    )[0][1]
    weights = {entry.name: (entry.weight, weight) for entry, weight in zip(mixture.datasets, capped, strict=True)}
    for name in ("gooaq_pairs", "yahoo_answers_question_answer", "AllNLI", "wikihow"):
        published, ours = weights[name]
        assert published == -(-247 * ours // 1_000_000)
