import random
from collections import Counter, defaultdict
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from pipelines import shuffle
from pipelines.job import LOCAL_RUNNER
from pipelines.shuffle import (
    SPILLS,
    Blob,
    Cap,
    Outbox,
    Shuffle,
    Spill,
    SpilledBlobs,
    gather,
    partition_of,
    places_by_prefix,
)

# What JSON has, half a surrogate pair and integers of any size among it.
TEXT = st.text(st.characters(codec=None, categories=("L", "Cs", "Cc", "So")), max_size=6)
LEAF = st.none() | st.booleans() | st.integers() | st.integers(0, 2**64) | TEXT
VALUES = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
KEYED = st.lists(st.tuples(TEXT, VALUES), max_size=30)


def regroup(blobs: list[bytes]) -> dict[str, list]:
    groups: dict[str, list] = {}
    assert list(gather(blobs, groups)) == []
    return groups


def as_counts(groups: dict[str, list]) -> dict[str, Counter]:
    return {key: Counter(map(repr, values)) for key, values in groups.items()}


@given(KEYED, st.sets(st.integers(0, 29)), st.integers(1, 14))
def test_whatever_json_has_crosses_a_shuffle_however_it_is_flushed(keyed, flushes, bits):
    outbox, blobs = Outbox(bits), []
    for number, (key, value) in enumerate(keyed):
        outbox.put("stage", key, value)
        if number in flushes:
            blobs += outbox.flush()
    blobs += outbox.flush()
    assert list(outbox.flush()) == []
    by_partition: defaultdict[int, list[bytes]] = defaultdict(list)
    for blob in blobs:
        assert blob.stage == "stage"
        by_partition[blob.partition].append(blob.data)
    expected: defaultdict[int, dict[str, list]] = defaultdict(dict)
    for key, value in keyed:
        partition = xxh3_64_intdigest(key.encode(errors="surrogatepass")) * 2**bits // 2**64
        expected[partition].setdefault(key, []).append(value)
    found = {partition: as_counts(regroup(of_one)) for partition, of_one in by_partition.items()}
    assert found == {partition: as_counts(groups) for partition, groups in expected.items()}


@given(KEYED)
def test_a_block_is_what_its_values_are_one_by_one(keyed):
    block, single = Outbox(4), Outbox(4)
    block.put_block("stage", keyed, 1)
    for key, value in keyed:
        single.put("stage", key, value)
    assert list(block.flush()) == list(single.flush())


def test_stages_are_kept_apart():
    outbox = Outbox(1)
    outbox.put("one", "key", 1)
    outbox.put("two", "key", 2)
    assert [(blob.stage, blob.data) for blob in outbox.flush()] == [("one", b'{"key":[1]}'), ("two", b'{"key":[2]}')]


def test_an_outbox_is_full_when_its_texts_are(monkeypatch):
    monkeypatch.setattr(shuffle, "OUTBOX_BYTES", 1000)
    outbox = Outbox(4)
    outbox.put("stage", "key", ["x" * 900, 7])
    assert not outbox.is_full
    outbox.put("stage", "key", "y")
    assert outbox.is_full
    list(outbox.flush())
    assert not outbox.is_full
    outbox.put_block("stage", [], 1000)
    assert outbox.is_full


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(1, 14))
def test_places_by_prefix_are_all_places_each_under_its_prefix(keys, bits):
    found = {prefix: places.tolist() for prefix, places in places_by_prefix(np.array(keys, np.uint64), bits)}
    expected: defaultdict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        expected[key >> 64 - bits].append(place)
    assert found == expected


# Caps


def by_number(value: list) -> list:
    return value


CAPPED = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=60)


@given(CAPPED, st.integers(1, 8), st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_cap_keeps_the_lowest_ranks_whatever_the_order_and_tells_the_others(keyed, most, blob_size, chance):
    chance.shuffle(keyed)
    outbox, blobs = Outbox(1), []
    for number, (key, value) in enumerate(keyed):
        outbox.put("stage", key, value)
        if number % blob_size == 0:
            blobs += [blob.data for blob in outbox.flush()]
    blobs += [blob.data for blob in outbox.flush()]
    sizes: list[int] = []
    groups: dict[str, list] = {}

    def measured():
        for blob in blobs:
            sizes.extend(map(len, groups.values()))
            yield blob

    cap = Cap(most, by_number, lambda value: value if value % 2 else None)
    beyond = list(gather(measured(), groups, cap))
    assert max(sizes, default=0) <= 2 * most
    for key in "ab":
        ordered = sorted(value for of, value in keyed if of == key)
        assert sorted(groups.get(key, [])) == ordered[:most]
    gone = [value for key in "ab" for value in sorted(value for of, value in keyed if of == key)[most:]]
    assert sorted(beyond) == sorted(value for value in gone if value % 2)


def test_values_beyond_a_cap_are_told_as_they_come_and_never_gathered():
    outbox, blobs = Outbox(1), []
    for number in range(1000):
        outbox.put("stage", "key", number)
        if number % 10 == 9:
            blobs += [blob.data for blob in outbox.flush()]
    read = Counter()

    def counted():
        for blob in blobs:
            read["blobs"] += 1
            yield blob

    first = next(gather(counted(), {}, Cap(5, by_number, lambda value: value)))
    assert first >= 5 and read["blobs"] < 5


# Files of blobs

BLOBS = st.lists(
    st.builds(Blob, st.sampled_from(["one", "two"]), st.integers(0, 7), st.binary(max_size=20)), max_size=25
)


def spill(folder: Path, blobs: list[Blob], bits: int = 3) -> str:
    with Spill(str(folder), bits) as file:
        for blob in blobs:
            file.write(blob)
    return file.name


@given(st.lists(BLOBS, max_size=4))
def test_spilled_blobs_come_back_by_stage_and_partition_again_and_again(tmp_path_factory, spills):
    folder = tmp_path_factory.mktemp("spills")
    names = [spill(folder, blobs) for blobs in spills]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for stage in ("one", "two", "three"):
        for partition in range(8):
            found = SpilledBlobs(str(folder), names, stage, partition)
            expected = Counter(
                blob.data for blobs in spills for blob in blobs if (blob.stage, blob.partition) == (stage, partition)
            )
            assert Counter(found) == expected and Counter(found) == expected


def test_no_byte_of_a_spill_can_change_unseen(tmp_path):
    blobs = [Blob("one", n % 4, bytes([n]) * 30) for n in range(8)] + [Blob("two", 1, b"")]
    path = tmp_path / spill(tmp_path, blobs, bits=2)
    whole = path.read_bytes()

    def read() -> list[list[bytes]]:
        shuffle._directory.cache_clear()
        return [list(SpilledBlobs(str(tmp_path), [path.name], stage, n)) for stage in ("one", "two") for n in range(4)]

    read()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        with pytest.raises(OSError, match=r"spill-\w+: damaged or cut short; run the job again"):
            read()
    for length in (0, 5, 27, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(OSError, match="damaged or cut short"):
            read()


def test_a_spill_has_its_name_only_when_it_was_written_whole(tmp_path):
    with pytest.raises(RuntimeError), Spill(str(tmp_path), 1) as file:
        file.write(Blob("one", 0, b"half"))
        assert not (tmp_path / file.name).exists()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


# In a pipeline


@pytest.mark.parametrize("spilled", [True, False])
def test_a_shuffle_brings_the_blobs_of_a_partition_together(tmp_path, spilled):
    chance = random.Random(0)
    blobs = [Blob("one", chance.randrange(4), b"%d" % n) for n in range(20)] + [Blob("two", 0, b"other")]
    expected: defaultdict[int, list[bytes]] = defaultdict(list)
    for blob in blobs[:20]:
        expected[blob.partition].append(blob.data)
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        shuffled = Shuffle("one", 2, str(tmp_path) if spilled else None)
        if spilled:
            names = [spill(tmp_path, blobs[:7], 2), spill(tmp_path, blobs[7:], 2)]
            outputs = [{SPILLS: pipeline | beam.Create(names), "one": None}]
        else:
            parts = (blobs[:7], blobs[7:20])
            made = [
                pipeline | f"Blobs{n}" >> beam.Create([(blob.partition, blob.data) for blob in part])
                for n, part in enumerate(parts)
            ]
            outputs = [{SPILLS: None, "one": one} for one in made]
        found = shuffled.chosen_from(outputs) | shuffled | beam.MapTuple(lambda n, of_one: (n, sorted(of_one)))
        assert_that(found, equal_to([(n, sorted(of_one)) for n, of_one in sorted(expected.items())]))


@given(TEXT)
def test_a_partition_is_the_first_bits_of_a_hash(key):
    whole = xxh3_64_intdigest(key.encode(errors="surrogatepass"))
    assert [partition_of(key, 64 - bits) for bits in range(1, 15)] == [whole >> 64 - bits for bits in range(1, 15)]
