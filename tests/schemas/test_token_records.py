import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.example import Example, encode_pair
from schemas.pair import Pair, fingerprint
from schemas.token_records import FEATURES, decode_tokens, encode_tokens, is_token_record, join_tables, located

PRINT = st.integers(0, 2**64 - 1)


@st.composite
def contents(draw, width: int):
    texts = draw(st.integers(2, 5))
    ids = st.integers(0, 256**width - 1)
    return (
        draw(st.text(min_size=1, max_size=40)),
        [draw(st.lists(ids, min_size=1, max_size=200)) for _ in range(texts)],
        draw(PRINT),
        [draw(PRINT) for _ in range(texts)],
        draw(PRINT),
    )


def encode(content, width: int) -> bytes:
    dataset, texts, pair, of_texts, cluster = content
    ids = np.array([token for text in texts for token in text], f"<u{width}").tobytes()
    return encode_tokens(
        dataset,
        ids,
        [len(text) for text in texts],
        pair_fingerprint=pair,
        text_fingerprints=of_texts,
        cluster_fingerprint=cluster,
    )


def apart(records: list[bytes]):
    """The records in one buffer, with bytes of no record between them."""
    _, begins, ends = located([record + b"xyz" for record in records])
    return b"".join(record + b"xyz" for record in records), begins, ends - 3


@given(st.sampled_from([2, 4]).flatmap(lambda width: st.tuples(st.just(width), st.lists(contents(width), min_size=1))))
def test_records_decoded_together_are_what_each_was_encoded_from(case):
    width, made = case
    records = [encode(content, width) for content in made]
    for texts in (2, 3, 6):
        table = decode_tokens(*apart(records), texts)
        ids = iter(table.ids.tolist())
        for row, (_, of_pair, pair, prints, cluster) in enumerate(made):
            kept = of_pair[:texts]
            absent = texts - len(kept)
            assert table.lengths[row].tolist() == [*map(len, kept), *[0] * absent]
            assert table.present[row].tolist() == [True] * len(kept) + [False] * absent
            assert table.text_fingerprints[row].tolist() == [*prints[:texts], *[0] * absent]
            assert (int(table.pair_fingerprints[row]), int(table.clusters[row])) == (pair, cluster)
            assert [[next(ids) for _ in text] for text in kept] == kept
        assert next(ids, None) is None


@given(contents(2))
def test_a_record_is_an_example_to_the_byte(content):
    record = encode(content, 2)
    example = Example.FromString(record)
    assert example.SerializeToString(deterministic=True) == record
    feature = example.features.feature
    assert tuple(sorted(feature)) == FEATURES
    assert feature["dataset"].bytes_list.value[0].decode() == content[0]
    assert np.frombuffer(feature["lengths"].bytes_list.value[0], "<u4").tolist() == [len(text) for text in content[1]]


def test_records_of_ids_and_of_texts_are_told_apart():
    pair = Pair("dataset", "dataset", "a positive")
    assert not is_token_record(encode_pair(pair, fingerprint(pair)))
    assert is_token_record(encode(("d" * 300, [[1], [2] * 900], 1, [2, 3], 0), 2))


@pytest.mark.parametrize("place", ["feature", "key", "cut", "text"])
def test_what_is_no_record_of_ids_is_refused(place):
    record = bytearray(encode(("name", [[1, 2], [3]], 1, [2, 3], 0), 2))
    if place == "feature":
        record[0] = 0
    elif place == "key":
        record[record.index(b"fingerprints")] ^= 1
        record[record.index(b"lengths") + 6] ^= 1
    elif place == "cut":
        record = record[:-2]
    else:
        pair = Pair("name", "an anchor", "a positive")
        record = bytearray(encode_pair(pair, fingerprint(pair)))
    with pytest.raises(
        ValueError, match="not a record of token ids; make the dataset again with `pairstream tokenize`"
    ):
        decode_tokens(bytes(record), np.array([0]), np.array([len(record)]), 2)


def test_ids_of_two_widths_in_one_batch_are_refused():
    content = ("name", [[1, 2], [3]], 1, [2, 3], 0)
    with pytest.raises(ValueError, match="of two and of four bytes in one batch"):
        decode_tokens(*apart([encode(content, 2), encode(content, 4)]), 2)


def test_ids_that_their_lengths_do_not_count_are_refused():
    with pytest.raises(ValueError, match="6 bytes of ids and 2 fingerprints for 2 texts with 2 ids"):
        encode_tokens("name", b"123456", [1, 1], pair_fingerprint=1, text_fingerprints=[2, 3], cluster_fingerprint=0)


def test_joined_tables_are_the_table_of_all():
    made = [("name", [[n] * n, [n + 100] * (n % 3 + 1)], n, [n, n + 1], 0) for n in range(1, 12)]
    records = [encode(content, 2) for content in made]
    rows = [np.array([0, 3, 4, 9]), np.array([1, 2, 5, 6, 7, 8, 10])]
    joined = join_tables([decode_tokens(*apart([records[n] for n in each]), 2) for each in rows], rows)
    for field, whole in zip(joined, decode_tokens(*apart(records), 2), strict=True):
        np.testing.assert_array_equal(field, whole)
