import hashlib
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.collect import PairCollector, PairRules
from pipelines.dedup import Entries, Keys, from_blob, to_blob
from pipelines.hot_texts import limits_of, smallest_keys
from pipelines.stages import CELL_FILES, SAMPLES, TALLIES
from pipelines.write import (
    CellFile,
    Piece,
    WriteCells,
    length_statistics,
    move_when_whole,
    plan_shards,
    read_cell,
    write_planned_shard,
)
from schemas.example import decode_pair, reason_of
from schemas.pair import Pair, fingerprint, split_of
from schemas.shards import decode_index, frame, read_shard

NO_TEXTS = np.zeros(0, np.uint64)


def write_raw_cell(folder: Path, number: int, sizes: list[int], first: int = 0, split: str = "train") -> CellFile:
    """A cell file of records that are `sizes` bytes when framed, in the layout that `CellFile` states."""
    frames = [frame(bytes([(first + n) % 256]) * (size - 16)) for n, size in enumerate(sizes)]
    data = b"".join(frames)
    prints = [2**63 + first + n for n in range(len(sizes))]
    path = folder / f"cell-{split}-{number}"
    content = data + struct.pack(f"<{len(sizes)}I", *sizes) + struct.pack(f"<{len(sizes)}Q", *prints)
    path.write_bytes(content)
    crc = google_crc32c.value(content)
    return CellFile("d", split, number, str(path), len(sizes), len(data), ((0,) * 12, (0,) * 12), crc)


def independent_cut(sizes: list[int], shard_size: int) -> list[list[int]]:
    """Numbers of the records in each shard: a shard closes when it holds the size."""
    shards, open_shard = [], []
    for number in range(len(sizes)):
        open_shard.append(number)
        if sum(sizes[n] for n in open_shard) >= shard_size:
            shards.append(open_shard)
            open_shard = []
    return [*shards, open_shard] if open_shard else shards


@given(
    st.lists(st.lists(st.integers(16, 60), min_size=1, max_size=8), min_size=1, max_size=6),
    st.integers(1, 300),
)
def test_shards_close_when_their_bytes_reach_the_size_however_the_cells_are_cut(tmp_path_factory, cells, shard_size):
    folder = tmp_path_factory.mktemp("cells")
    sizes = [size for cell in cells for size in cell]
    firsts = np.cumsum([0, *map(len, cells)]).tolist()
    written = [write_raw_cell(folder, n, cell, firsts[n]) for n, cell in enumerate(cells)]
    tasks = list(plan_shards(written[::-1], shard_size))  # in any order: their numbers sort them
    found = [
        [firsts[piece.cell.cell] + n for piece in task.pieces for n in range(piece.first, piece.end)] for task in tasks
    ]
    assert found == independent_cut(sizes, shard_size)
    assert [(task.number, task.count) for task in tasks] == [(n, len(tasks)) for n in range(len(tasks))]


def test_each_dataset_and_split_has_shards_of_its_own(tmp_path):
    cells = [
        write_raw_cell(tmp_path, 0, [20, 20]),
        write_raw_cell(tmp_path, 0, [20], split="test"),
        write_raw_cell(tmp_path, 1, [20])._replace(dataset="e"),
    ]
    tasks = [(task.dataset, task.split, task.count) for task in plan_shards(cells, 30)]
    assert tasks == [("d", "test", 1), ("d", "train", 1), ("e", "train", 1)]
    assert list(plan_shards([], 30)) == []


def test_cells_that_lie_inside_a_shard_are_not_opened_to_plan_it():
    cells = [CellFile("d", "train", n, "/no/such/file", 10, 400, ((), ()), 0) for n in range(5)]
    (task,) = plan_shards(cells, 10_000)
    assert task.pieces == tuple(Piece(cell, 0, 10) for cell in cells)


def test_all_shards_of_a_split_have_the_window_of_its_whole_size():
    cells = [CellFile("d", "train", n, "/no/such/file", 10_000, 1000, ((), ()), 0) for n in range(7)]
    assert {task.window for task in plan_shards(cells, 10**6)} == {128}  # of 70,000 records


def test_a_shard_s_bytes_are_its_records_end_to_end(tmp_path):
    cells = [write_raw_cell(tmp_path, n, [20 + n, 30, 40], 3 * n) for n in range(4)]
    whole = b"".join(Path(cell.path).read_bytes()[: cell.bytes] for cell in cells)
    staging, output = tmp_path / "staging", tmp_path / "out"
    staging.mkdir()
    output.mkdir()
    written = [write_planned_shard(task, str(staging), str(output)) for task in plan_shards(cells, 100)]
    contents = [(output / item.shard.file).read_bytes() for item in written]
    assert len(contents) == 3 and b"".join(contents) == whole
    for item, content in zip(written, contents, strict=True):
        assert item.shard.sha256 == hashlib.sha256(content).hexdigest()
        assert item.shard.records == len(list(read_shard(output / item.shard.file)))
        index = decode_index((output / item.shard.file).with_suffix(".idx").read_bytes(), where="idx")
        assert (index.records, int(index.offsets[-1])) == (item.shard.records, len(content))
    prints = b"".join((output / item.shard.file).with_suffix(".fp").read_bytes() for item in written)
    assert sorted(struct.unpack("<12Q", prints)) == [2**63 + n for n in range(12)]
    assert list(staging.iterdir()) == []


RULES = PairRules((), 0.5, 0, bits=1)


def make_blobs(pairs: list[Pair], rules: PairRules = RULES) -> list[bytes]:
    """A blob for each pair, and more of what other shuffles need."""
    blobs = []
    for pair in pairs:
        collector = PairCollector(rules)
        assert collector.add(pair) is None
        collector.settle()
        blobs += [blob.data for blob in collector.flush()]
    return blobs


def outcomes_of(
    pairs: list[Pair],
    staging: Path,
    test_texts: NDArray[np.uint64] = NO_TEXTS,
    *,
    limits: Sequence[bytes] = (),
    marks: Sequence[Keys] = (),
    rules: PairRules = RULES,
    exact: bool = True,
) -> tuple[list[CellFile], dict[tuple[str, str], int]]:
    """(cells, drops by stage and reason) of one cell with these pairs."""
    work = WriteCells(rules, str(staging), None, exact=exact)
    blobs = [*make_blobs(pairs), *map(to_blob, marks)]
    found = list(work.outputs((3, blobs), [test_texts.astype("<u8").tobytes()], limits))
    assert {tag for tag, _ in found} <= {CELL_FILES, TALLIES, SAMPLES}
    tallies = {key: records for tag, value in found if tag == TALLIES for key, records in [value]}
    assert all(dataset == "d" for dataset, *_ in tallies)
    cells = [CellFile._make(value) for tag, value in found if tag == CELL_FILES]
    return cells, {(stage, reason): records for (_, stage, reason), records in tallies.items()}


def test_a_cell_holds_each_pair_once_on_its_side_of_the_split(tmp_path):
    pairs = [Pair("d", f"anchor {n}", f"positive {n}", group=str(n)) for n in range(40)]
    cells, drops = outcomes_of(pairs * 2, tmp_path)
    assert drops == {("dedup", "duplicate"): 40}
    assert [cell.split for cell in cells] == ["train", "test"] and {cell.cell for cell in cells} == {3}
    for cell in cells:
        block = read_cell(cell)
        ends = np.cumsum(block.lengths)
        records = [block.data[end - length + 12 : end - 4] for end, length in zip(ends, block.lengths, strict=True)]
        found = [decode_pair(record)[0] for record in records]
        assert set(found) == {pair for pair in pairs if split_of(pair, 0.5) == cell.split}
        assert block.fingerprints.tolist() == [fingerprint(pair).pair for pair in found]
        assert cell.records == len(found) and cell.bytes == len(block.data)


def test_a_train_pair_whose_text_stands_in_test_goes_and_is_counted(tmp_path):
    pairs = [Pair("d", f"anchor {n}", f"positive {n}", group=str(n)) for n in range(40)]
    in_train = [pair for pair in pairs if split_of(pair, 0.5) == "train"]
    in_test = [pair for pair in pairs if split_of(pair, 0.5) == "test"]
    # One train pair by its positive, one by its anchor; test pairs stay though their texts are listed.
    listed = [
        fingerprint(in_train[0]).texts[1],
        fingerprint(in_train[1]).texts[0],
        *fingerprint(in_test[0]).texts,
    ]
    cells, drops = outcomes_of(pairs, tmp_path, np.sort(np.array(listed, np.uint64)))
    assert drops == {("split", "train_text_in_test"): 2}
    assert {cell.split: cell.records for cell in cells} == {"train": len(in_train) - 2, "test": len(in_test)}


def test_a_cell_file_of_another_length_is_refused(tmp_path):
    cell = write_raw_cell(tmp_path, 0, [20, 20])
    Path(cell.path).write_bytes(Path(cell.path).read_bytes()[:-1])
    with pytest.raises(OSError, match=r"63 bytes; expected 64; run the job again"):
        read_cell(cell)


@pytest.mark.parametrize("place", [0, 25, 42, 60])
def test_a_cell_file_with_a_flipped_byte_is_refused(tmp_path, place):
    cell = write_raw_cell(tmp_path, 0, [20, 20])
    content = bytearray(Path(cell.path).read_bytes())
    content[place] ^= 1
    Path(cell.path).write_bytes(content)
    with pytest.raises(OSError, match=r"cell-train-0: damaged; run the job again"):
        read_cell(cell)


def records_of(cell: CellFile) -> list[bytes]:
    block = read_cell(cell)
    ends = np.cumsum(block.lengths)
    return [block.data[end - length + 12 : end - 4] for end, length in zip(ends, block.lengths, strict=True)]


def test_what_a_cell_drops_is_kept_aside_with_its_reason_where_that_is_asked_for(tmp_path):
    pairs = [Pair("d", f"anchor {n}", f"positive {n}", group=str(n), contexts=("before",)) for n in range(30)]
    frequent = [Pair("d", "thanks", f"answer {n}", group=str(n)) for n in range(6)]
    rules = replace(RULES, keep_rejects=True, max_per_text=2)
    (entries,) = [from_blob(make_blobs([pairs[0]])[0])]
    marks = [Keys("d", "in_older_part", entries.keys)]
    blobs = [
        blob.data
        for pair in frequent
        for one in map(from_blob, make_blobs([pair]))
        if isinstance(one, Entries)
        for blob in smallest_keys(one, [fingerprint(pair).texts], 2, 1)
    ]
    leak = next(pair for pair in pairs[1:] if split_of(pair, 0.5) == "train")
    test_texts = np.array([fingerprint(leak).texts[0]], np.uint64)
    given = {"limits": list(limits_of(blobs, 2)), "marks": marks, "rules": rules}
    cells, drops = outcomes_of([*pairs, *frequent, *pairs[5:10]], tmp_path, test_texts, **given)
    assert drops == {
        ("dedup", "duplicate"): 5,
        ("dedup", "in_older_part"): 1,
        ("cap", "text_too_frequent"): 4,
        ("split", "train_text_in_test"): 1,
    }
    aside = [record for cell in cells if cell.split == "rejects" for record in records_of(cell)]
    assert Counter(map(reason_of, aside)) == {f"{stage}/{reason}": n for (stage, reason), n in drops.items()}
    kept = [decode_pair(record)[0] for cell in cells if cell.split != "rejects" for record in records_of(cell)]
    assert sorted(map(repr, [*kept, *(decode_pair(record)[0] for record in aside)])) == sorted(
        map(repr, [*pairs, *frequent, *pairs[5:10]])
    )
    again, same = outcomes_of([*pairs[5:10], *frequent, *pairs][::-1], tmp_path, test_texts, **given)
    assert same == drops and [read_cell(cell).data for cell in again] == [read_cell(cell).data for cell in cells]
    without, drops_then = outcomes_of(pairs * 2, tmp_path)
    assert drops_then == {("dedup", "duplicate"): 30} and {cell.split for cell in without} <= {"train", "test"}


def test_without_exact_dedup_a_cell_keeps_its_copies(tmp_path):
    cells, drops = outcomes_of([Pair("d", "a", "b", group="0")] * 3, tmp_path, exact=False)
    assert drops == {} and [cell.records for cell in cells] == [3]


def test_a_file_is_moved_only_when_it_was_written_whole(tmp_path):
    staging, path = tmp_path / "staging", tmp_path / "final"
    staging.mkdir()
    with pytest.raises(RuntimeError), move_when_whole(str(path), str(staging)) as file:
        file.write(b"half")
        raise RuntimeError
    assert not path.exists()
    with move_when_whole(str(path), str(staging)) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_a_second_attempt_replaces_the_first(tmp_path):
    for content in (b"first", b"second"):
        with move_when_whole(str(tmp_path / "final"), str(tmp_path)) as file:
            file.write(content)
    assert (tmp_path / "final").read_bytes() == b"second"


def test_length_histograms_count_every_pair_in_its_bin(tmp_path):
    lengths = [0, 7, 8, 15, 16, 8191, 8192, 20_000]
    pairs = [Pair("d", "x" * length, f"{n}" * 3, group=str(n)) for n, length in enumerate(lengths)]
    cells, _ = outcomes_of(pairs, tmp_path)
    statistics = length_statistics(cells)["characters"]
    assert statistics["edges"] == [0, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    both = [
        np.add(*(statistics[split][side] for split in ("train", "test"))).tolist() for side in ("anchor", "positive")
    ]
    assert both == [[2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2], [8] + [0] * 11]
