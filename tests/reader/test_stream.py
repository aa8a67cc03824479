import bz2
import gzip
import itertools
import json
import os
import random
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from reader.files import MAX_OPEN, FilePool, LocalFile
from reader.plan import plan_batches
from reader.stream import Packing, Padding, SkippedWindows, stream_batches, stream_pairs, stream_texts
from schemas.batch import Batch, join_words
from schemas.example import decode_pair
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, index_name, open_local, read_shard, write_shard
from schemas.tokens import Prefixes, tokenize_records

WORDS = ["sun", "moon", "star", "sea", "Straße", "tree", "bird", "stone", "cloud", "river"]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]


def make_pairs(name: str, count: int, negatives: int = 0) -> list[Pair]:
    chance = random.Random(name)

    def text(tag: str) -> str:
        return " ".join([tag, *chance.choices(WORDS, k=chance.randint(1, 9))])

    return [
        Pair(
            name,
            text(f"a{n}"),
            text(f"p{n}"),
            tuple(text(f"n{n}") for _ in range(n % (negatives + 1))),
            cluster=f"c{n // 2}" if n % 3 == 0 else None,
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_dataset):
    """Datasets of several shards with tails; `hard` has zero to three negatives a pair."""
    folder = tmp_path_factory.mktemp("data")
    for name, counts, negatives in (("one", [50, 37], 0), ("two/b", [130], 0), ("hard", [40, 21], 3)):
        pairs = iter(make_pairs(name, sum(counts), negatives))
        write_dataset(folder, name, [list(itertools.islice(pairs, count)) for count in counts])
    return folder


@pytest.fixture
def plan(data, mix):
    return plan_batches(mix({"one": 2, "two/b": 1, "hard": 1}, size=32), data)


def planned_pairs(plan, step, rows=None) -> list[tuple[int, Pair]]:
    """What the plan names, read by the plain reader of whole shards."""
    found = []
    for run in plan.runs(step, rows):
        records = list(itertools.islice(read_shard(run.path), run.first, run.first + run.count))
        found += [(run.dataset, decode_pair(record)[0]) for record in records]
    return found


@pytest.fixture(scope="module")
def tokenizer():
    pieces = [
        "a",
        "p",
        "n",
        "s",
        "t",
        *(f"##{c}" for c in "0123456789abcdefghijklmnopqrstuvwxyzß"),
        *WORDS[:4],
    ]
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *pieces])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return Tokenizer.from_str(json.dumps(json.loads(made.to_str())))


@pytest.fixture
def packing(tokenizer):
    return Packing(tokenizer, pairs=8, rows=16, row_tokens=48, max_tokens=(12, 20))


def equal(one: Batch, other: Batch) -> bool:
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )


def test_texts_are_those_the_plan_names_in_row_order(plan):
    for step, batch in enumerate(stream_texts(plan, 0, 12)):  # beyond the end of every dataset
        expected = planned_pairs(plan, step)
        assert batch.step == step
        assert batch.datasets.tolist() == [dataset for dataset, _ in expected]
        assert batch.texts.tolist() == [[pair.anchor.encode(), pair.positive.encode()] for _, pair in expected]
        assert batch.present.shape == (32, 2) and batch.present.all()
        prints = [fingerprint(pair) for _, pair in expected]
        assert batch.pair_fingerprints.tolist() == [each.pair for each in prints]
        assert batch.text_fingerprints.tolist() == [list(each.texts[:2]) for each in prints]
        assert batch.clusters.tolist() == [each.cluster for each in prints]
        assert 0 in batch.clusters and batch.clusters.any()


@pytest.mark.parametrize("negatives", [1, 3, 5])
def test_hard_negatives_fill_their_slots_and_the_rest_is_absent(plan, negatives):
    lengths = set()
    for step, batch in enumerate(stream_texts(plan, 0, 4, negatives=negatives)):
        for row, (_, pair) in enumerate(planned_pairs(plan, step)):
            kept = pair.texts[: 2 + negatives]
            absent = 2 + negatives - len(kept)
            lengths.add(len(pair.texts))
            assert batch.texts[row].tolist() == [text.encode() for text in kept] + [b""] * absent
            assert batch.present[row].tolist() == [True] * len(kept) + [False] * absent
            prints = fingerprint(pair).texts[: len(kept)]
            assert batch.text_fingerprints[row].tolist() == [*prints, *[0] * absent]
    assert lengths == {2, 3, 4, 5}


def test_starting_at_a_step_equals_skipping_to_it(plan, packing):
    whole = list(stream_batches(plan, 0, 9, packing, negatives=1))
    for start in range(9):
        (first, *_) = stream_batches(plan, start, 9 - start, packing, negatives=1)
        assert equal(first, whole[start])
    assert not equal(whole[0], whole[1])


@pytest.fixture(scope="module")
def tokens(data, tmp_path_factory, tokenizer):
    """The same datasets as token ids: same shards, windows and fingerprints."""
    folder = tmp_path_factory.mktemp("tokens")
    for name in ("one", "two/b", "hard"):
        rewrite_as_tokens(data / name, folder / name, tokenizer)
    return folder


def rewrite_as_tokens(source: Path, target: Path, tokenizer: Tokenizer) -> None:
    target.mkdir(parents=True)
    manifest = Manifest.load(source)
    (part,) = manifest.parts
    split, written = part.splits["train"], []
    for path, shard in manifest.shards("train"):
        texts = list(read_shard(path))
        frames = [frame(record) for record in tokenize_records(texts, tokenizer)]
        lengths = np.array([len(framed) for framed in frames], np.uint32)
        prints = np.array([decode_pair(record)[1].pair for record in texts], np.uint64)
        block = Block(b"".join(frames), lengths, prints)
        written.append(write_shard(str(target), shard.file, [block], window=split.window, open_file=open_local))
    split = replace(split, bytes=sum(shard.bytes for shard in written), shards=tuple(written))
    made = replace(manifest, kind="tokens", parts=(replace(part, splits={"train": split}),))
    (target / MANIFEST_NAME).write_bytes(made.to_bytes())


WEIGHTS = {"one": 2, "two/b": 1, "hard": 1}


@pytest.mark.parametrize("negatives", [0, 2])
def test_token_shards_give_the_batches_of_text_shards(plan, tokens, mix, packing, negatives):
    of_tokens = plan_batches(mix(WEIGHTS, size=32), tokens)
    expected = list(stream_batches(plan, 0, 20, packing, negatives=negatives))
    found = list(stream_batches(of_tokens, 0, 20, packing, negatives=negatives))
    assert len(found) == len(expected) == 20 and all(map(equal, found, expected))
    for pairs, texts in zip(stream_pairs(of_tokens, 0, 5), stream_texts(plan, 0, 5), strict=True):
        assert pairs.step == texts.step and pairs.datasets.tolist() == texts.datasets.tolist()
        assert pairs.pair_fingerprints.tolist() == texts.pair_fingerprints.tolist()


def test_a_mixture_may_have_datasets_of_either_kind(plan, data, tokens, mix, packing, tmp_path):
    (tmp_path / "two").mkdir()
    for name, folder in (("one", data), ("two/b", tokens), ("hard", tokens)):
        (tmp_path / name).symlink_to(folder / name, target_is_directory=True)
    mixed = plan_batches(mix(WEIGHTS, size=32), tmp_path)
    expected = list(stream_batches(plan, 0, 8, packing, negatives=1))
    assert all(map(equal, stream_batches(mixed, 0, 8, packing, negatives=1), expected))
    pairs = [batch.pair_fingerprints.tolist() for batch in stream_pairs(mixed, 0, 8)]
    assert pairs == [join_words(batch.pairs).ravel().tolist() for batch in expected]


def test_token_shards_have_no_texts_and_say_so(tokens, mix):
    with pytest.raises(ValueError, match=r"\.tfrecord: holds token ids; expected texts"):
        next(stream_texts(plan_batches(mix({"one": 1}, size=8, slots=1), tokens), 0, 1))


def test_prefixes_stand_before_texts_and_leave_fingerprints_alone(plan, packing):
    with_prefixes = replace(packing, prefixes=Prefixes("sun ", "moon sea "), max_tokens=(48, 48), rows=24)
    (batch,) = stream_batches(plan, 0, 1, with_prefixes)
    for number, (_, pair) in enumerate(planned_pairs(plan, 0)):
        pack, within = divmod(number, 8)
        for slot, text in enumerate((f"sun {pair.anchor}", f"moon sea {pair.positive}")):
            found = batch.tokens[pack][batch.segments[pack] == 1 + 2 * within + slot]
            assert found.tolist() == packing.tokenizer.encode(text).ids
        assert join_words(batch.pairs)[pack, within] == fingerprint(pair).pair


def test_padding_gives_the_same_texts_in_the_smallest_bucket_that_holds_them(plan, packing, tokenizer):
    padding = Padding(tokenizer, pairs=8, buckets=(8, 16, 20, 32), max_tokens=(12, 20))
    widths = set()
    for packed, padded in zip(
        stream_batches(plan, 0, 12, packing, negatives=1),
        stream_batches(plan, 0, 12, padding, negatives=1),
        strict=True,
    ):
        longest = int(padded.positions.max()) + 1
        widths.add(width := padded.tokens.shape[2])
        assert padded.tokens.shape == (4, 24, width)
        assert width == min(bucket for bucket in padding.buckets if bucket >= longest)
        for pack in range(4):
            for text in range(1, 25):
                one, other = packed.tokens[pack], padded.tokens[pack]
                there = padded.segments[pack] == text
                assert one[packed.segments[pack] == text].tolist() == other[there].tolist()
                assert set(np.nonzero(there)[0].tolist()) <= {text - 1}
        assert padded.real_share < packed.real_share * 48 * 16 / (24 * width) * 1.001
    assert widths <= {16, 20} and widths


@pytest.mark.parametrize(
    ("buckets", "limits", "message"),
    [((), (8, 8), "buckets are"), ((32, 16), (8, 8), "ascending"), ((16,), (8, 20), "up to 20 tokens do not fit the")],
)
def test_buckets_that_cannot_work_are_refused(tokenizer, buckets, limits, message):
    with pytest.raises(ValueError, match=message):
        Padding(tokenizer, pairs=8, buckets=buckets, max_tokens=limits)


def test_hosts_cannot_share_buckets_they_do_not_know(plan, tokenizer):
    padding = Padding(tokenizer, pairs=8, buckets=(16, 32), max_tokens=(12, 20))
    with pytest.raises(ValueError, match=r"cannot agree on one of the buckets \(16, 32\).*set buckets to \(32,\)"):
        next(stream_batches(plan, 0, 1, padding, rows=range(16)))
    assert len(list(stream_batches(plan, 0, 2, replace(padding, buckets=(32,)), rows=range(16)))) == 2


@pytest.fixture
def reads(monkeypatch) -> list[tuple[str, int, int]]:
    """(path, begin, end) of each read that goes to the file system."""
    made = []
    plain = LocalFile.read

    def read(self, begin, end):
        data = plain(self, begin, end)
        made.append((os.readlink(f"/proc/self/fd/{self._descriptor}"), begin, begin + len(data)))
        return data

    monkeypatch.setattr(LocalFile, "read", read)
    return made


def test_a_host_reads_the_windows_of_its_own_rows_alone(tmp_path, write_dataset, mix, packing, reads):
    for name in ("a", "b"):
        write_dataset(tmp_path, name, [make_pairs(name, 160), make_pairs(name + "2", 160)])
    plan = plan_batches(mix({"a": 1, "b": 1}, size=64), tmp_path)  # slots of two whole windows each

    def shard_bytes(rows: range | None) -> int:
        reads.clear()
        list(stream_batches(plan, 1, 1, packing, rows=rows))
        return sum(end - begin for path, begin, end in reads if path.endswith(".tfrecord"))

    whole = shard_bytes(None)
    of_hosts = [shard_bytes(range(16 * host, 16 * (host + 1))) for host in range(4)]
    assert sum(of_hosts) == whole and max(of_hosts) < whole / 2
    expected = sum(16 + len(record) for run in plan.runs(1) for record in records_of(run))
    assert whole == expected


def records_of(run) -> list[bytes]:
    return list(itertools.islice(read_shard(run.path), run.first, run.first + run.count))


def test_however_many_shards_few_files_are_open(tmp_path):
    paths = []
    for number in range(200):
        paths.append(str(tmp_path / str(number)))
        (tmp_path / str(number)).write_bytes(f"{number:04d}".encode())
    before = len(os.listdir("/proc/self/fd"))
    pool = FilePool()
    for _ in range(2):
        for number, path in enumerate(paths):
            assert pool.read(path, 1, 4) == f"{number:04d}"[1:].encode()
            assert len(os.listdir("/proc/self/fd")) <= before + MAX_OPEN + 1
    assert len(pool) == MAX_OPEN
    del pool
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_dataset_written_anew_is_read_anew(tmp_path, write_dataset, mix):
    def anchors() -> set[bytes]:
        plan = plan_batches(mix({"d": 1}, size=8, slots=1), tmp_path)
        return {anchor for batch in stream_texts(plan, 0, 5) for anchor in batch.texts[:, 0]}

    write_dataset(tmp_path, "d", [make_pairs("d", 40)])
    first = anchors()
    shutil.rmtree(tmp_path / "d")
    write_dataset(tmp_path, "d", [make_pairs("other", 40)])
    assert not anchors() & first


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_hosts_read_their_rows_alone_and_together_the_same_bytes(plan, packing, hosts):
    packing = replace(packing, pairs=4)
    whole = list(stream_batches(plan, 3, 3, packing, negatives=1))
    share = 32 // hosts
    parts = [
        list(stream_batches(plan, 3, 3, packing, negatives=1, rows=range(host * share, (host + 1) * share)))
        for host in range(hosts)
    ]
    for step in range(3):
        joined = Batch(*(np.concatenate(fields) for fields in zip(*(part[step] for part in parts), strict=True)))
        assert equal(joined, whole[step])


def test_a_packed_batch_holds_the_tokenizer_s_own_ids(plan, packing):
    (batch,) = stream_batches(plan, 2, 1, packing, negatives=1)
    expected = planned_pairs(plan, 2)
    assert batch.tokens.shape == batch.segments.shape == batch.positions.shape == (4, 16, 48)
    assert batch.size == 32 and not batch.shortened.any()
    assert batch.datasets.ravel().tolist() == [dataset for dataset, _ in expected]
    assert join_words(batch.pairs).ravel().tolist() == [fingerprint(pair).pair for _, pair in expected]
    assert join_words(batch.clusters).ravel().tolist() == [fingerprint(pair).cluster for _, pair in expected]
    cut = 0
    for number, (_, pair) in enumerate(expected):
        pack, within = divmod(number, 8)
        texts = [*pair.texts[:3], *[None] * (3 - len(pair.texts))]
        prints = [*fingerprint(pair).texts[:3], 0][:3]
        assert join_words(batch.fingerprints[pack, within]).tolist() == prints
        for slot, text in enumerate(texts):
            where = batch.segments[pack] == 1 + within * 3 + slot
            if text is None:
                assert not where.any()
                continue
            ids, limit = packing.tokenizer.encode(text).ids, 12 if slot == 0 else 20
            cut += len(ids) > limit
            assert batch.tokens[pack][where].tolist() == (ids if len(ids) <= limit else [*ids[: limit - 1], 2])
            assert batch.positions[pack][where].tolist() == list(range(min(len(ids), limit)))
    assert cut  # some text was long enough to be cut
    assert (batch.tokens[batch.segments == 0] == 0).all()


def test_texts_that_do_not_fit_their_rows_are_shortened_and_counted(plan, packing, tokenizer):
    tight = Packing(tokenizer, pairs=8, rows=3, row_tokens=48, max_tokens=(20, 20))
    (batch,) = stream_batches(plan, 0, 1, tight)
    assert (batch.shortened > 0).all()
    for pack in batch.segments:
        assert set(range(1, 17)) <= set(pack.ravel().tolist())  # no text is dropped


def test_texts_that_cannot_fit_say_what_to_set(plan, tokenizer):
    with pytest.raises(ValueError, match=r"^16 texts do not fit 1 rows of 24 tokens; set more pack\.rows"):
        list(stream_batches(plan, 0, 1, Packing(tokenizer, pairs=8, rows=1, row_tokens=24, max_tokens=(20, 20))))


@pytest.mark.parametrize(
    ("pairs", "rows", "message"),
    [
        (10, None, "rows end at 32, inside a pack of 10 pairs; the nearest whole pack: 30"),
        (8, range(4, 12), "rows start at 4, inside a pack of 8 pairs"),
        (8, range(0, 12), "rows end at 12, inside a pack of 8 pairs"),
    ],
)
def test_rows_that_are_not_whole_packs_are_refused(plan, tokenizer, pairs, rows, message):
    packing = Packing(tokenizer, pairs=pairs, rows=16, row_tokens=48, max_tokens=(12, 20))
    with pytest.raises(ValueError, match=message):
        next(stream_batches(plan, 0, 1, packing, rows=rows))


@pytest.fixture
def small(tmp_path, write_dataset, mix):
    """(plan over one dataset of one shard of 40 records, path of the shard)."""
    manifest = write_dataset(tmp_path, "d", [make_pairs("d", 40)])
    return plan_batches(mix({"d": 1}, size=8, slots=1), tmp_path), tmp_path / "d" / manifest.parts[0].splits[
        "train"
    ].shards[0].file


@pytest.mark.parametrize("record", [0, 17, 39])
def test_a_flipped_byte_is_refused_naming_shard_and_record(small, record):
    plan, shard = small
    content = bytearray(shard.read_bytes())
    ends = list(itertools.accumulate(len(each) + 16 for each in read_shard(shard)))
    content[ends[record] - 20] ^= 0x10
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{shard}: record {record} is damaged; make the dataset again$"):
        list(stream_texts(plan, 0, 5))


def test_a_shard_cut_short_is_refused_by_name(small):
    plan, shard = small
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ValueError, match=rf"^{shard}: record 39 is cut short"):
        list(stream_texts(plan, 0, 5))


def test_a_shard_that_lost_its_last_records_is_refused_by_name(small):
    plan, shard = small
    records = list(read_shard(shard))
    shard.write_bytes(shard.read_bytes()[: -16 - len(records[-1])])
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.idx: 7 records lie where it says 8"):
        list(stream_texts(plan, 0, 5))


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, b"X"), (12, struct.pack("<I", 18)), (40, struct.pack("<Q", 1)), (16, struct.pack("<Q", 39))],
    ids=["magic", "window", "offset", "records"],
)
def test_a_damaged_index_never_gives_other_records(small, place, value):
    plan, shard = small
    index = shard.with_name(index_name(shard.name))
    content = bytearray(index.read_bytes())
    content[place : place + len(value)] = value
    index.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.(idx|tfrecord): .*make the dataset again"):
        list(stream_texts(plan, 0, 5))


def damage(shard: Path, record: int) -> None:
    content = bytearray(shard.read_bytes())
    ends = list(itertools.accumulate(len(each) + 16 for each in read_shard(shard)))
    content[ends[record] - 20] ^= 0x10
    shard.write_bytes(content)


def test_batches_before_the_damage_are_handed_out(small, tokenizer):
    plan, shard = small
    expected = [batch.pair_fingerprints.tolist() for batch in stream_pairs(plan, 0, 5)]
    damaged = next(step for step in range(5) for run in plan.runs(step) if run.first <= 20 < run.first + run.count)
    damage(shard, 20)
    # The damage lies in a window that a step before may need too: the first such step is the one that fails.
    failing = min(step for step in range(5) for run in plan.runs(step) if run.first // 16 == 1)
    found = []
    with pytest.raises(ValueError, match=rf"^{shard}: record 20 is damaged"):
        for batch in stream_batches(plan, 0, 5, Packing(tokenizer, 8, 16, 48, (12, 20))):
            found.append(join_words(batch.pairs).ravel().tolist())
    assert found == expected[:failing] and failing <= damaged


def test_a_damaged_window_is_replaced_by_the_next_whole_one_and_counted(small):
    plan, shard = small
    records = [decode_pair(record) for record in read_shard(shard)]
    whole = [batch.pair_fingerprints.tolist() for batch in stream_pairs(plan, 0, 5)]
    damage(shard, 3)  # of windows 0 … 15, 16 … 31, 32 … 39
    damage_of_second = SkippedWindows()
    found = list(stream_texts(plan, 0, 5, skipped=damage_of_second))
    stand_in = {records[n][1].pair: records[16 + n][1].pair for n in range(16)}
    assert [batch.pair_fingerprints.tolist() for batch in found] == [
        [stand_in.get(pair, pair) for pair in batch] for batch in whole
    ]
    assert damage_of_second.records == 16
    assert damage_of_second.errors == {f"{shard}: record 3 is damaged; make the dataset again": 16}


def test_skipped_windows_are_the_same_on_any_number_of_hosts(data, mix, packing, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    plan = plan_batches(mix({"one": 2, "two/b": 1}, size=32), tmp_path / "data")
    for shard in (tmp_path / "data").rglob("*.tfrecord"):
        damage(shard, 18)
    count = SkippedWindows()
    whole = list(stream_batches(plan, 0, 8, packing, skipped=count))
    shares, of_hosts = [], SkippedWindows()
    for host in range(4):
        rows = range(8 * host, 8 * (host + 1))
        shares.append(list(stream_batches(plan, 0, 8, packing, rows=rows, skipped=of_hosts)))
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert equal(Batch(*(np.concatenate(fields) for fields in zip(*parts, strict=True))), batch)
    assert count.records == of_hosts.records > 0


def test_damage_is_counted_when_its_batch_is_handed_out(small):
    plan, shard = small
    damage(shard, 3)
    skipped, counts = SkippedWindows(), []
    for _ in stream_pairs(plan, 0, 5, skipped=skipped):
        counts.append(skipped.records)
    due = [sum(run.count for run in plan.runs(step) if run.first < 16) for step in range(5)]
    assert counts == list(itertools.accumulate(due))


def test_a_shard_without_a_whole_window_is_refused_even_when_skipping(small):
    plan, shard = small
    for record in (3, 18, 35):
        damage_raw(shard, record)
    with pytest.raises(ValueError, match=rf"^{shard}: record \d+ is damaged"):
        list(stream_pairs(plan, 0, 5, skipped=SkippedWindows()))


def damage_raw(shard: Path, record: int) -> None:
    """As `damage`, in a shard that may be damaged already: by the frames' lengths alone."""
    content, at = bytearray(shard.read_bytes()), 0
    for _ in range(record):
        at += struct.unpack_from("<Q", content, at)[0] + 16
    content[at + 14] ^= 0x10
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("compress", "name"),
    [(gzip.compress, "gzip"), (zstandard.compress, "zstd"), (zlib.compress, "zlib"), (bz2.compress, "bzip2")],
)
@pytest.mark.parametrize("renamed", [False, True])
def test_a_compressed_shard_is_refused_naming_the_command(small, compress, name, renamed):
    plan, shard = small
    suffix = {"gzip": ".gz", "zstd": ".zst", "zlib": ".zz", "bzip2": ".bz2"}[name] if renamed else ""
    content = compress(shard.read_bytes())
    shard.unlink()
    shard.with_name(shard.name + suffix).write_bytes(content)
    for skipped in (None, SkippedWindows()):
        with pytest.raises(ValueError, match=rf"compressed with {name}.*`pairstream preprocess`"):
            list(stream_texts(plan, 0, 5, skipped=skipped))


def test_a_missing_shard_is_refused_by_name(small):
    plan, shard = small
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"^{shard}: no such file"):
        list(stream_texts(plan, 0, 5))


def test_reading_goes_on_over_the_end_of_an_epoch(small):
    plan, _ = small
    texts = [tuple(texts) for batch in stream_texts(plan, 0, 30) for texts in batch.texts.tolist()]
    epochs = [tuple(texts[first : first + 40]) for first in range(0, 240, 40)]
    assert len(set(epochs[0])) == 40 and all(set(epoch) == set(epochs[0]) for epoch in epochs)
    assert len(set(epochs)) > 1


def test_no_steps_are_no_batches(plan, packing):
    assert list(stream_texts(plan, 5, 0)) == []
    assert list(stream_batches(plan, 5, 0, packing)) == []
