import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.plan import DatasetOrder, plan_batches
from schemas.manifest import Manifest

SHARDS = st.lists(st.integers(1, 90), min_size=1, max_size=5)


def expand(runs) -> list[tuple[str, int]]:
    return [(path, first + n) for *_, path, first, count in runs for n in range(count)]


def make_order(manifest: Manifest, seed: int = 0) -> DatasetOrder:
    return DatasetOrder.from_manifest(manifest, "train", seed)


def records_of(manifest: Manifest) -> list[tuple[str, int]]:
    return [(located.path, n) for located in manifest.shards("train") for n in range(located.shard.records)]


@given(counts=SHARDS, seed=st.integers(0, 2**62), epoch=st.integers(0, 10**9))
def test_an_epoch_holds_every_record_once(listed_dataset, counts, seed, epoch):
    manifest = listed_dataset("d", counts)
    order = make_order(manifest, seed)
    assert order.records == sum(counts)
    found = expand(order.runs(epoch * order.records, order.records))
    assert sorted(found) == sorted(records_of(manifest))


@given(counts=SHARDS, position=st.integers(0, 400), count=st.integers(0, 300))
def test_any_stretch_is_a_part_of_the_endless_sequence(listed_dataset, counts, position, count):
    order = make_order(listed_dataset("d", counts))
    whole = [record for epoch in range(701) for record in _epoch(order, epoch)][: position + count]
    assert expand(order.runs(position, count)) == whole[position:]


def _epoch(order: DatasetOrder, epoch: int):
    return expand(order.runs(epoch * order.records, order.records)) if epoch * order.records <= 700 else []


@given(counts=SHARDS, position=st.integers(0, 400), count=st.integers(1, 300))
def test_a_run_lies_within_one_window_or_one_tail(listed_dataset, counts, position, count):
    order = make_order(listed_dataset("d", counts))
    for path, first, records in order.runs(position, count):
        of_shard = counts[order.paths.index(path)]
        assert records > 0 and first + records <= of_shard
        assert first // 16 == (first + records - 1) // 16


def test_windows_come_shuffled_and_short_tails_last(listed_dataset):
    order = make_order(listed_dataset("d", [16 * 20 + 5, 16 * 20, 16 * 20 + 9]))
    runs = list(order.runs(0, order.records))
    assert [count for *_, count in runs] == [16] * 60 + [5, 9]
    windows = [(path, first) for path, first, _ in runs[:60]]
    assert windows != sorted(windows) and len({path for path, _ in windows[:10]}) > 1


def test_each_epoch_and_each_seed_and_each_name_has_an_order_of_its_own(listed_dataset):
    counts = [16 * 30 + 3]
    orders = [make_order(listed_dataset("d", counts)), make_order(listed_dataset("d", counts), seed=1)]
    orders.append(dataclasses.replace(orders[0], name="e"))
    sequences = [tuple(expand(order.runs(epoch * 483, 483))) for order in orders for epoch in range(3)]
    assert len(set(sequences)) == 9


def test_parts_of_different_windows_are_read_by_the_coarser(listed_dataset):
    fine, coarse = listed_dataset("d", [100]), listed_dataset("d", [256], window=128)
    part = dataclasses.replace(coarse.parts[0], path="part-1")
    manifest = dataclasses.replace(fine, parts=(*fine.parts, part))
    order = make_order(manifest)
    assert order.window == 128
    assert sorted(expand(order.runs(0, 356))) == sorted(records_of(manifest))
    assert order.paths[1] == "data/d/part-1/train-00000-of-00001.tfrecord"


def test_a_split_that_is_not_there_is_refused(listed_dataset):
    with pytest.raises(ValueError, match="data/d: no test split to read; leave the dataset out"):
        DatasetOrder.from_manifest(listed_dataset("d", [5]), "test", 0)


@pytest.fixture
def data(tmp_path, listed_dataset):
    """Three datasets on paper, with several shards and tails."""
    for name, counts in {"a": [50, 33], "b/c": [170], "d": [16, 7, 40]}.items():
        manifest = listed_dataset(name, counts)
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_bytes(manifest.to_bytes())
    return tmp_path


def test_a_batch_holds_the_schedule_s_rows_of_each_dataset(data, mix):
    plan = plan_batches(mix({"a": 1, "b/c": 2, "d": 1}, size=24), data)
    for step in range(20):
        rows = {}
        for run in plan.runs(step):
            assert run.path.startswith(f"{data}/{plan.names[run.dataset]}/train-")
            rows[run.dataset] = rows.get(run.dataset, 0) + run.count
        assert rows == {slot.dataset: slot.rows for slot in plan.schedule.slots(step)}


def test_successive_batches_read_every_record_once_an_epoch(data, mix):
    plan = plan_batches(mix({"a": 1, "b/c": 1}, size=20), data)
    drawn = {0: [], 1: []}
    for step in range(34):
        for run in plan.runs(step):
            drawn[run.dataset] += expand([run])
    for number, records in ((0, 83), (1, 170)):
        epochs = [drawn[number][first : first + records] for first in range(0, 340 - records + 1, records)]
        assert len(epochs) >= 2
        assert all(len(set(epoch)) == records for epoch in epochs)
        assert epochs[0] != epochs[1]


@given(st.integers(0, 100), st.integers(1, 24))
def test_rows_read_by_parts_are_the_whole_batch(tmp_path_factory, listed_dataset, mix, step, part):
    data = tmp_path_factory.mktemp("data")
    for name, counts in {"a": [50, 33], "d": [16, 7, 40]}.items():
        (data / name).mkdir()
        (data / name / "manifest.json").write_bytes(listed_dataset(name, counts).to_bytes())
    plan = plan_batches(mix({"a": 2, "d": 1}, size=24), data)

    def records(rows=None):
        return [(run.dataset, *record) for run in plan.runs(step, rows) for record in expand([run])]

    pieces = [records(range(first, min(first + part, 24))) for first in range(0, 24, part)]
    assert [record for piece in pieces for record in piece] == records()
    assert len(records()) == 24


def test_steps_can_be_asked_in_any_order(data, mix):
    plan = plan_batches(mix({"a": 1, "d": 3}), data)
    forwards = [plan.runs(step) for step in range(30)]
    assert [plan.runs(step) for step in range(29, -1, -1)] == forwards[::-1]
    assert plan.runs(10**12)  # a far step costs no more than a near one


def test_a_dataset_of_weight_zero_need_not_be_there(data, mix):
    plan = plan_batches(mix({"a": 1, "absent": 0}), data)
    assert {run.dataset for step in range(5) for run in plan.runs(step)} == {0}
    assert plan.epochs(83) == [32.0, 0.0]


def test_epochs_tell_how_often_a_dataset_was_read(data, mix):
    plan = plan_batches(mix({"a": 1, "d": 1}, size=2), data)
    assert plan.epochs(166) == pytest.approx([2.0, 166 / 63])


def test_batch_size_and_seed_stand_in_for_the_mixture_s(data, mix):
    plan = plan_batches(mix({"a": 1, "d": 1}, size=1000), data, batch_size=8)
    assert plan.batch_size == 8 and sum(run.count for run in plan.runs(0)) == 8
    by_seed = [
        plan_batches(mix({"a": 1, "d": 1}, seed=5), data),
        plan_batches(mix({"a": 1, "d": 1}, seed=4), data, seed=5),
        plan_batches(mix({"a": 1, "d": 1}, seed=4), data),
    ]
    assert by_seed[0].runs(3) == by_seed[1].runs(3) != by_seed[2].runs(3)


def test_the_content_hash_changes_with_all_that_decides_a_batch_and_nothing_else(
    data, mix, tmp_path_factory, listed_dataset
):
    weights = {"a": 1, "d": 1}
    plain = plan_batches(mix(weights), data)
    other_data = tmp_path_factory.mktemp("other")
    for name in weights:
        (other_data / name).mkdir()
        (other_data / name / "manifest.json").write_bytes((data / name / "manifest.json").read_bytes())
    assert plan_batches(mix(weights), other_data).content_hash == plain.content_hash
    (other_data / "d/manifest.json").write_bytes(listed_dataset("d", [16, 7, 41]).to_bytes())
    others = [
        plan_batches(mix(weights), other_data),
        plan_batches(mix({"a": 1, "d": 2}), data),
        plan_batches(mix({"d": 1, "a": 1}), data),
        plan_batches(mix(weights, slots=1), data),
        plan_batches(mix(weights), data, seed=1),
        plan_batches(mix(weights), data, batch_size=64),
    ]
    assert len({plain.content_hash, *(plan.content_hash for plan in others)}) == 7


def test_all_missing_datasets_are_named_at_once(data, mix):
    with pytest.raises(FileNotFoundError, match=r"no finished dataset x, y/z; make it with `pairstream preprocess`"):
        plan_batches(mix({"a": 1, "x": 1, "y/z": 1}), data)


def test_many_missing_datasets_are_counted(data, mix):
    with pytest.raises(FileNotFoundError, match="m9 and 5 more"):
        plan_batches(mix({f"m{n}": 1 for n in range(15)}), data)


def test_a_batch_that_slots_do_not_divide_is_refused(data, mix):
    with pytest.raises(ValueError, match="batch size 33 does not divide into 2 slots"):
        plan_batches(mix({"a": 1, "d": 1}), data, batch_size=33)
