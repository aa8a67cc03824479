import hashlib
import itertools
import os
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.shards import (
    Block,
    decode_index,
    encode_index,
    fingerprints_name,
    frame,
    index_name,
    open_local,
    read_shard,
    shard_name,
    unframe,
    window_for,
    write_shard,
)

NAME = "train-00000-of-00001.tfrecord"
RECORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def make_block(records: list[bytes], fingerprints: list[int]) -> Block:
    frames = [frame(record) for record in records]
    return Block(
        b"".join(frames),
        np.array([len(framed) for framed in frames], np.uint32),
        np.array(fingerprints, np.uint64),
    )


def write_numbered(folder, count: int, window: int = 16):
    """A shard of `count` records in blocks of seven, with falling fingerprints."""
    blocks = [
        make_block([b"record %d" % n for n in part], [2**64 - 1 - n for n in part])
        for part in (range(first, min(first + 7, count)) for first in range(0, count, 7))
    ]
    return write_shard(str(folder), NAME, blocks, window=window, open_file=open_local)


@given(RECORDS)
@example([b""])
def test_framed_records_come_back(records):
    assert unframe(b"".join(map(frame, records)), where="here") == records


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_a_frame_is_length_and_payload_each_with_a_masked_crc(record):
    def masked(data):
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)

    length = struct.pack("<Q", len(record))
    assert frame(record) == length + masked(length) + record + masked(record)


def test_tensorflow_reads_a_shard(tmp_path):
    tf = pytest.importorskip("tensorflow")
    write_numbered(tmp_path, 50)
    found = list(tf.data.TFRecordDataset(str(tmp_path / NAME)).as_numpy_iterator())
    assert found == [b"record %d" % n for n in range(50)]


def test_a_shard_is_read_in_order(tmp_path):
    shard = write_numbered(tmp_path, 50)
    assert list(read_shard(tmp_path / NAME)) == [b"record %d" % n for n in range(50)]
    assert shard.records == 50 and shard.bytes == (tmp_path / NAME).stat().st_size


@given(RECORDS, st.data())
def test_one_flipped_bit_anywhere_is_found_and_its_record_named(records, data):
    frames = [frame(record) for record in records]
    content = bytearray(b"".join(frames))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    ends = np.cumsum([len(framed) for framed in frames])
    damaged = int(np.searchsorted(ends, place, side="right"))
    with pytest.raises(ValueError, match=rf"shard\.x: record {100 + damaged} "):
        unframe(bytes(content), where="shard.x", first=100)


@given(st.data())
def test_a_shard_cut_inside_a_record_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / NAME
    frames = [frame(b"x" * n) for n in (0, 5, 30)]
    ends = np.cumsum([0, *map(len, frames)]).tolist()
    cut = data.draw(st.integers(0, ends[-1] - 1).filter(lambda n: n not in ends))
    path.write_bytes(b"".join(frames)[:cut])
    number = int(np.searchsorted(ends, cut)) - 1
    with pytest.raises(ValueError, match=f"record {number} "):
        list(read_shard(path))


def test_a_damaged_length_is_not_believed(tmp_path):
    path = tmp_path / NAME
    content = bytearray(frame(b"first") + frame(b"second"))
    content[7] = 0x7F  # a record of nine exabytes
    path.write_bytes(content)
    with pytest.raises(ValueError, match="record 0 has a damaged length"):
        list(read_shard(path))


@pytest.mark.parametrize(("records", "window"), [(1, 16), (16, 16), (17, 16), (100, 16), (100, 128), (256, 128)])
def test_index_offsets_point_at_every_window_s_first_record(tmp_path, records, window):
    write_numbered(tmp_path, records, window)
    content = (tmp_path / NAME).read_bytes()
    index = decode_index((tmp_path / index_name(NAME)).read_bytes(), where="idx")
    assert (index.window, index.records) == (window, records)
    starts = index.offsets.tolist()
    assert starts[0] == 0 and starts[-1] == len(content)
    for number, (begin, end) in enumerate(itertools.pairwise(starts)):
        expected = [b"record %d" % n for n in range(number * window, min((number + 1) * window, records))]
        assert unframe(content[begin:end], where="window") == expected


def test_the_index_is_laid_out_as_stated():
    ends = np.array([0, 20, 40, 60], np.uint64)
    assert encode_index(ends, 2) == b"PSWINDEX" + struct.pack("<IIQQ", 1, 2, 3, 60) + struct.pack("<3Q", 0, 40, 60)


@given(st.integers(0, 200), st.data())
def test_a_cut_index_is_refused_by_name(records, data):
    content = encode_index(np.arange(records + 1, dtype=np.uint64) * 20, 16)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(ValueError, match=r"^a\.idx: "):
        decode_index(cut, where="a.idx")


@pytest.mark.parametrize("place", [0, 8, 12, 16 + 1, 24])
def test_a_damaged_index_header_is_refused_by_name(place):
    content = bytearray(encode_index(np.arange(101, dtype=np.uint64) * 20, 16))
    content[place] ^= 0x90
    with pytest.raises(ValueError, match=r"^a\.idx: "):
        decode_index(bytes(content), where="a.idx")


def test_index_offsets_that_do_not_rise_are_refused():
    content = bytearray(encode_index(np.arange(101, dtype=np.uint64) * 20, 16))
    content[32 + 8 : 32 + 16] = struct.pack("<Q", 10**6)
    with pytest.raises(ValueError, match=r"^a\.idx: "):
        decode_index(bytes(content), where="a.idx")


def test_the_fingerprint_file_is_sorted(tmp_path):
    write_numbered(tmp_path, 50)
    content = (tmp_path / fingerprints_name(NAME)).read_bytes()
    assert list(struct.unpack("<50Q", content)) == [2**64 - 50 + n for n in range(50)]


def test_checksums_are_those_of_the_files(tmp_path):
    shard = write_numbered(tmp_path, 30)
    for name, digest in (
        (NAME, shard.sha256),
        (index_name(NAME), shard.index_sha256),
        (fingerprints_name(NAME), shard.fingerprints_sha256),
    ):
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_the_blocks_do_not_show_in_the_files(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("blocks")
    numbers = iter(range(sum(sizes)))
    blocks = []
    for size in sizes:
        part = [next(numbers) for _ in range(size)]
        blocks.append(make_block([b"record %d" % n for n in part], [2**64 - 1 - n for n in part]))
    written = write_shard(str(folder), NAME, blocks, window=16, open_file=open_local)
    assert written == write_numbered(tmp_path_factory.mktemp("sevens"), sum(sizes))


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield make_block([b"one"], [1])
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        write_shard(str(tmp_path), NAME, failing(), window=16, open_file=open_local)
    assert list(tmp_path.iterdir()) == []


def test_a_flush_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def no_room(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_numbered(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_its_old_content_until_the_new_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with open_local(str(path)) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_shard_names_tell_split_number_and_count():
    assert shard_name("test", 3, 12) == "test-00003-of-00012.tfrecord"
    assert index_name(shard_name("test", 3, 12)) == "test-00003-of-00012.idx"
    assert fingerprints_name(shard_name("train", 0, 1)) == "train-00000-of-00001.fp"


@pytest.mark.parametrize(
    ("records", "window"),
    [
        (0, 16),
        (100, 16),
        (16 * 1024 - 1, 16),
        (16 * 1024, 32),
        (32_767, 32),
        (32_768, 64),
        (65_536, 128),
        (10**9, 128),
    ],
)
def test_small_splits_have_small_windows(records, window):
    assert window_for(records) == window
