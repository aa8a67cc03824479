import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader.plan import DatasetOrder, host_rows, plan_batches
from schemas.manifest import Manifest
from schemas.mixture import POLICIES, Mixture

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


def test_a_dataset_that_lies_elsewhere_is_shown_where(data, mix, listed_dataset):
    (data / "deeper" / "x").mkdir(parents=True)
    (data / "deeper/x/manifest.json").write_bytes(listed_dataset("x", [16]).to_bytes())
    with pytest.raises(FileNotFoundError, match="there is deeper/x: name it so in the mixture"):
        plan_batches(mix({"x": 1}), data)
    with pytest.raises(FileNotFoundError, match="is itself a dataset: pass the folder above it"):
        plan_batches(mix({"x": 1}), data / "deeper/x")


def test_many_missing_datasets_are_counted(data, mix):
    with pytest.raises(FileNotFoundError, match="m9 and 5 more"):
        plan_batches(mix({f"m{n}": 1 for n in range(15)}), data)


def test_a_batch_that_slots_do_not_divide_is_refused(data, mix):
    with pytest.raises(ValueError, match="batch size 33 does not divide into 2 slots"):
        plan_batches(mix({"a": 1, "d": 1}), data, batch_size=33)


def test_neighbours_of_one_epoch_are_not_neighbours_in_the_next(listed_dataset):
    order = make_order(listed_dataset("d", [16 * 60, 16 * 40 + 7]))
    pairs = []
    for epoch in range(2):
        windows = [run[:2] for run in order.runs(epoch * order.records, order.records) if run[2] == 16]
        pairs.append({frozenset(pair) for pair in pairwise(windows)})
    assert len(pairs[0] & pairs[1]) < 0.1 * len(pairs[0])


def test_another_seed_differs_at_every_step(data, mix):
    plans = [plan_batches(mix({"a": 1, "b/c": 2, "d": 1}, size=48), data, seed=seed) for seed in (0, 1)]
    assert all(plans[0].runs(step) != plans[1].runs(step) for step in [*range(40), 10**9])


def test_a_dataset_smaller_than_its_slot_wraps_and_leaves_no_record_out(data, mix, listed_dataset):
    (data / "tiny").mkdir()
    (data / "tiny" / "manifest.json").write_bytes(listed_dataset("tiny", [5]).to_bytes())
    plan = plan_batches(mix({"a": 1, "tiny": 1}, size=32), data)
    for step in range(6):
        drawn = [record for run in plan.runs(step) if run.dataset == 1 for record in expand([run])]
        assert len(drawn) == 16 and len(set(drawn)) == 5
        # Smaller than a window, it has no order but its own.
        assert [first for _, first in drawn] == [(16 * step + n) % 5 for n in range(16)]


def test_more_datasets_than_slots_take_turns(data, mix):
    plan = plan_batches(mix({"a": 1, "b/c": 1, "d": 1}, size=32), data)
    batches = [frozenset(run.dataset for run in plan.runs(step)) for step in range(3)]
    assert sorted(map(sorted, batches)) == [[0, 1], [0, 2], [1, 2]]


def write_mixture(policy, size=24, **more):
    names = ("a", "b/c", "d")
    datasets = [{"name": name, "weight": weight} for name, weight in zip(names, (5, 3, 2), strict=True)]
    return Mixture.from_json({"batch": {"size": size, "policy": policy}, "datasets": datasets, **more})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_the_rows_of_all_hosts_are_the_global_batch(data, policy, hosts):
    plan = plan_batches(write_mixture(policy), data)
    for step in [*range(9), 10**7]:
        parts = [run for host in range(hosts) for run in plan.runs(step, host_rows(24, hosts, host))]
        datasets = [run.dataset for run in parts for _ in range(run.count)]
        assert datasets == [run.dataset for run in plan.runs(step) for _ in range(run.count)]
        assert expand(parts) == expand(plan.runs(step))


def test_hosts_that_do_not_divide_the_batch_are_refused_with_the_nearest_that_do():
    with pytest.raises(ValueError, match="batch size 100 does not divide over 8 hosts; the nearest that does: 96"):
        host_rows(100, 8, 0)
    with pytest.raises(ValueError, match="host 8 of 8; expected a number from 0 to 7"):
        host_rows(96, 8, 8)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_record_comes_once_an_epoch_under_every_policy(data, policy):
    plan = plan_batches(write_mixture(policy), data)
    drawn = [[], [], []]
    for step in range(120):
        for run in plan.runs(step):
            drawn[run.dataset] += expand([run])
    for number, records in enumerate((83, 170, 63)):
        epochs = [drawn[number][first : first + records] for first in range(0, len(drawn[number]) - records, records)]
        assert len(epochs) >= 3
        assert all(len(set(epoch)) == records for epoch in epochs)


def test_a_dataset_leaves_after_its_epochs_and_a_plan_of_them_ends(data):
    plan = plan_batches(write_mixture("homogeneous", max_epochs=2), data)
    assert plan.end is not None
    drawn = [plan.schedule.position(number, plan.end) for number in range(3)]
    assert all(0 <= rows - 2 * records < 24 for rows, records in zip(drawn, (83, 170, 63), strict=True))
    with pytest.raises(ValueError, match="beyond the plan's end"):
        plan.runs(plan.end)
    assert plan.epochs(10**9) == plan.epochs(plan.end)


def test_half_an_epoch_is_a_limit_too(data):
    plan = plan_batches(write_mixture("homogeneous", max_epochs=0.5), data)
    assert plan.end is not None and plan.epochs(plan.end)[1] == pytest.approx(0.5, abs=24 / 170)


def test_rules_count_the_records_of_the_manifests_and_not_the_lines_of_the_mixture(data):
    datasets = [{"name": name, "lines": 1000} for name in ("a", "b/c", "d")]
    mixture = Mixture.from_json({"weights": {"rule": "proportional"}, "datasets": datasets})
    plan = plan_batches(mixture, data)
    drawn = [plan.schedule.position(number, 316) for number in range(3)]
    assert drawn == pytest.approx([1024 * records for records in (83, 170, 63)], abs=512)


def test_the_content_hash_covers_policy_rules_segments_and_limits(data):
    plans = [plan_batches(write_mixture(policy), data) for policy in POLICIES]
    weights = [
        {"rule": "equal"},
        {"rule": "proportional"},
        {"rule": "proportional", "cap": 100},
        {"rule": "temperature", "temperature": 2},
        [{"from_step": 0, "weights": {"rule": "equal"}}, {"from_step": 10, "weights": {"a": 1}}],
        [{"from_step": 0, "weights": {"rule": "equal"}}, {"from_step": 11, "weights": {"a": 1}}],
        [{"from_step": 0, "weights": {"rule": "equal"}}, {"from_step": 11, "weights": {"a": 1, "d": 1}}],
    ]
    plans += [plan_batches(write_mixture("homogeneous", weights=one), data) for one in weights]
    plans += [plan_batches(write_mixture("homogeneous", max_epochs=limit), data) for limit in (1, 2)]
    assert len({plan.content_hash for plan in plans}) == len(plans)


def test_weights_that_come_out_the_same_are_the_same_batches(data):
    written = plan_batches(write_mixture("homogeneous"), data)
    named = plan_batches(write_mixture("homogeneous", weights={"a": 5.0, "b/c": 3, "d": 2}), data)
    assert named.content_hash == written.content_hash
    assert [named.runs(step) for step in range(20)] == [written.runs(step) for step in range(20)]


def test_slots_mean_nothing_to_a_preset(data):
    one, other = (
        Mixture.from_json({"batch": {"policy": "v2-block", "slots": slots}, "datasets": [{"name": "a", "weight": 1}]})
        for slots in (1, 4)
    )
    assert plan_batches(one, data).content_hash == plan_batches(other, data).content_hash
