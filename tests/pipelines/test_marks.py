from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.collect import BANDS, CELLS, PairCollector, PairRules
from pipelines.dedup import Keys, from_blob
from pipelines.marks import FindNearDuplicates, ReadKnown, blobs_of_marks
from pipelines.minhash import Signer
from pipelines.shuffle import Blob
from pipelines.stages import Task
from schemas.pair import Pair, fingerprint, shuffle_key

RULES = PairRules((), 0.0, 3, 4, signer=Signer())
UINT64 = st.integers(0, 2**64 - 1)


def keys_of(blobs: list[Blob]) -> dict[tuple[str, str], set[int]]:
    found: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for blob in blobs:
        marks = from_blob(blob.data)
        assert isinstance(marks, Keys) and blob.stage == CELLS
        assert all(key >> 60 == blob.partition for key in marks.keys.tolist())  # where the pairs themselves go
        found[marks.dataset, marks.reason] |= set(marks.keys.tolist())
    return dict(found)


@given(st.lists(UINT64, max_size=30))
def test_marks_go_to_the_cells_of_their_pairs(keys):
    marks = Keys("d", "why", np.array(keys, np.uint64))
    assert keys_of(list(blobs_of_marks(marks, 4))) == ({("d", "why"): set(keys)} if keys else {})


def test_what_an_older_part_holds_is_read_from_its_fingerprints_alone(tmp_path):
    prints = sorted(fingerprint(Pair("d", f"a {n}", "b")).pair for n in range(100))
    path = tmp_path / "train-00000-of-00001.fp"
    path.write_bytes(np.array(prints, "<u8").tobytes())
    found = ReadKnown(RULES, None).outputs(Task(0, ("d", str(path))))
    expected = {shuffle_key(one, RULES.seed) for one in prints}
    assert keys_of([blob for _, blob in found]) == {("d", "in_older_part"): expected}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=r"00001\.fp: cut short; make the dataset again"):
        list(ReadKnown(RULES, None).outputs(Task(0, ("d", str(path)))))


def test_near_duplicates_are_marked_in_their_own_dataset_and_a_partition_may_have_none():
    texts = [(f"number {n} of the questions about the house beside the water", f"answer {n * 37}") for n in range(8)]
    texts += [(texts[0][0].upper(), texts[0][1] + "!")]
    pairs = [Pair(dataset, *text) for dataset in ("d", "e") for text in texts[: 9 if dataset == "d" else 8]]
    collector = PairCollector(RULES)
    for pair in pairs:
        collector.add(pair)
    partitions: defaultdict[int, list[bytes]] = defaultdict(list)
    collector.settle()
    for blob in collector.flush():
        if blob.stage == BANDS:
            partitions[blob.partition].append(blob.data)
    work = FindNearDuplicates(RULES, None)
    outputs = [list(work.outputs((partition, blobs))) for partition, blobs in partitions.items()]
    assert [] in outputs  # partitions without one
    keys = [shuffle_key(fingerprint(pairs[n]).pair, RULES.seed) for n in (0, 8)]
    assert keys_of([blob for of_one in outputs for _, blob in of_one]) == {("d", "near_duplicate"): {max(keys)}}
