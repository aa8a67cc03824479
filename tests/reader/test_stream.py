import itertools
import json
import random
import struct

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from reader import stream
from reader.plan import plan_batches
from reader.stream import Packing, stream_batches, stream_texts
from schemas.batch import Batch, join_words
from schemas.example import decode_pair
from schemas.pair import Pair, fingerprint
from schemas.shards import index_name, read_shard

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


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_read_their_rows_alone_and_together_the_same_bytes(plan, packing, hosts):
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
    stream._index.cache_clear()
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.(idx|tfrecord): .*make the dataset again"):
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
