import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dedup import make_entry
from pipelines.funnel import Drop
from pipelines.write import (
    CellFile,
    Piece,
    length_statistics,
    move_when_whole,
    plan_shards,
    read_cell,
    write_cell,
    write_planned_shard,
)
from schemas.example import decode_pair
from schemas.pair import Pair, fingerprint, split_of
from schemas.shards import decode_index, frame, read_shard

NO_TEXTS = np.zeros(0, np.uint64)


def write_raw_cell(folder: Path, number: int, sizes: list[int], first: int = 0, split: str = "train") -> CellFile:
    """A cell file of records that are `sizes` bytes when framed, in the layout that `CellFile` states."""
    frames = [frame(bytes([(first + n) % 256]) * (size - 16)) for n, size in enumerate(sizes)]
    data = b"".join(frames)
    prints = [2**63 + first + n for n in range(len(sizes))]
    path = folder / f"cell-{split}-{number}"
    path.write_bytes(data + struct.pack(f"<{len(sizes)}I", *sizes) + struct.pack(f"<{len(sizes)}Q", *prints))
    return CellFile("d", split, number, str(path), len(sizes), len(data), ((0,) * 12, (0,) * 12))


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
    cells = [CellFile("d", "train", n, "/no/such/file", 10, 400, ((), ())) for n in range(5)]
    (task,) = plan_shards(cells, 10_000)
    assert task.pieces == tuple(Piece(cell, 0, 10) for cell in cells)


def test_all_shards_of_a_split_have_the_window_of_its_whole_size():
    cells = [CellFile("d", "train", n, "/no/such/file", 10_000, 1000, ((), ())) for n in range(7)]
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


def make_blobs(pairs: list[Pair], share: float = 0.5) -> list[bytes]:
    return [make_entry(pair, test_fraction=share, seed=0).to_bytes() for pair in pairs]


def outcomes_of(pairs: list[Pair], staging: Path, test_texts=NO_TEXTS) -> tuple[list[CellFile], list[Drop]]:
    found = list(write_cell((("d", 3), make_blobs(pairs)), str(staging), test_texts))
    return [item for item in found if isinstance(item, CellFile)], [item for item in found if isinstance(item, Drop)]


def test_a_cell_holds_each_pair_once_on_its_side_of_the_split(tmp_path):
    pairs = [Pair("d", f"anchor {n}", f"positive {n}", group=str(n)) for n in range(40)]
    cells, drops = outcomes_of(pairs * 2, tmp_path)
    assert drops == [Drop("d", "dedup", "duplicate", 40)]
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
    assert drops == [Drop("d", "split", "train_text_in_test", 2)]
    assert {cell.split: cell.records for cell in cells} == {"train": len(in_train) - 2, "test": len(in_test)}


def test_a_cell_file_of_another_length_is_refused(tmp_path):
    cell = write_raw_cell(tmp_path, 0, [20, 20])
    Path(cell.path).write_bytes(Path(cell.path).read_bytes()[:-1])
    with pytest.raises(OSError, match=r"63 bytes; expected 64; run the job again"):
        read_cell(cell)


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
