import dataclasses
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.example import Example, decode_pair, encode_pair, reason_of
from schemas.pair import Fingerprints, Pair, fingerprint
from schemas.shards import frame

TEXT = st.text(max_size=40)
PAIRS = st.builds(
    Pair,
    dataset=st.text(min_size=1, max_size=10),
    anchor=TEXT,
    positive=TEXT,
    negatives=st.lists(TEXT, max_size=3).map(tuple),
    group=st.text(max_size=10),
    cluster=st.none() | st.text(max_size=10),
    contexts=st.lists(TEXT, max_size=3).map(tuple),
)
FULL = Pair("d/ä", "Ankündigung 🎉", "二つ", ("n1", ""), group="g", cluster="c", contexts=("x", "y"))


@given(PAIRS)
def test_a_pair_comes_back_as_it_went_in(pair):
    prints = fingerprint(pair)
    assert decode_pair(encode_pair(pair, prints)) == (pair, prints)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_all_64_bits_of_a_fingerprint_come_back(whole, text):
    prints = Fingerprints(whole, (text, 2**64 - 1), 2**63)
    assert decode_pair(encode_pair(Pair("d", "a", "b", cluster="c"), prints))[1] == prints


def test_tensorflow_reads_the_same_features():
    tf = pytest.importorskip("tensorflow")
    prints = fingerprint(FULL)
    feature = tf.train.Example.FromString(encode_pair(FULL, prints)).features.feature
    texts = {name: list(value.bytes_list.value) for name, value in feature.items() if value.HasField("bytes_list")}
    assert texts == {
        "dataset": ["d/ä".encode()],
        "anchor": ["Ankündigung 🎉".encode()],
        "positive": ["二つ".encode()],
        "negatives": [b"n1", b""],
        "group": [b"g"],
        "cluster": [b"c"],
        "contexts": [b"x", b"y"],
    }
    numbers = {name: list(value.int64_list.value) for name, value in feature.items() if value.HasField("int64_list")}

    def signed(value):
        return int.from_bytes(value.to_bytes(8, "big"), "big", signed=True)

    assert numbers == {
        "pair_fingerprint": [signed(prints.pair)],
        "text_fingerprints": [signed(value) for value in prints.texts],
        "cluster_fingerprint": [signed(prints.cluster)],
    }


def test_what_a_pair_does_not_have_takes_no_room():
    record = encode_pair(Pair("d", "a", "b"), fingerprint(Pair("d", "a", "b")))
    names = set(Example.FromString(record).features.feature)
    assert names == {"dataset", "anchor", "positive", "pair_fingerprint", "text_fingerprints"}


def test_record_bytes_do_not_depend_on_the_process(project_root):
    script = (
        "from schemas.example import encode_pair; from schemas.pair import Pair, fingerprint\n"
        f"pair = {FULL!r}\n"
        "print(encode_pair(pair, fingerprint(pair)).hex())"
    )
    here = encode_pair(FULL, fingerprint(FULL)).hex()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(project_root)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here


def test_bytes_that_are_no_example_are_refused():
    with pytest.raises(ValueError, match=r"not a tf\.train\.Example"):
        decode_pair(b"\xff\xff\xff")


def record_without(name: str) -> bytes:
    example = Example.FromString(encode_pair(FULL, fingerprint(FULL)))
    del example.features.feature[name]
    return example.SerializeToString()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("anchor", "0 values of 'anchor'"),
        ("positive", "0 values of 'positive'"),
        ("dataset", "0 values of 'dataset'"),
        ("pair_fingerprint", "fingerprints do not match"),
        ("negatives", "fingerprints do not match"),
    ],
)
def test_a_record_that_lacks_something_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        decode_pair(record_without(name))


OUTSIDE_READER = """
import json, sys
from tfrecord.reader import tfrecord_loader
description = {"anchor": "byte", "positive": "byte", "pair_fingerprint": "int", "text_fingerprints": "int"}
rows = [
    [bytes(row["anchor"]).decode(), bytes(row["positive"]).decode(),
     [int(value) for value in row["pair_fingerprint"]], [int(value) for value in row["text_fingerprints"]]]
    for row in tfrecord_loader(sys.argv[1], None, description)
]
print(json.dumps(rows))
"""


@pytest.mark.interop
def test_the_tfrecord_package_reads_a_shard(tmp_path):
    # In a process of its own: its protos and TensorFlow's cannot live together.
    if subprocess.run([sys.executable, "-c", "import tfrecord"], capture_output=True).returncode:
        pytest.skip("the tfrecord package is not installed")
    pairs = [Pair("d", f"frage {number}", f"réponse {number} ✓") for number in range(20)]
    shard = tmp_path / "train-00000-of-00001.tfrecord"
    shard.write_bytes(b"".join(frame(encode_pair(pair, fingerprint(pair))) for pair in pairs))
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE_READER, str(shard)], capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)
    assert [(anchor, positive) for anchor, positive, _, _ in rows] == [(pair.anchor, pair.positive) for pair in pairs]
    for (_, _, whole, each), pair in zip(rows, pairs, strict=True):
        prints = fingerprint(pair)
        assert [value % 2**64 for value in whole + each] == [prints.pair, *prints.texts]


@given(PAIRS, st.text(max_size=12), st.integers(0, 2**64 - 1), st.sampled_from([0, 90, 117, 118, 127, 16383, 70_000]))
def test_a_record_is_what_protobuf_itself_would_write(pair, reason, number, length):
    pair = dataclasses.replace(pair, positive=pair.positive + "x" * length)
    prints = Fingerprints(number, (number >> 8, number >> 9, 0), number >> 60)
    record = encode_pair(pair, prints, reason)
    assert Example.FromString(record).SerializeToString(deterministic=True) == record
    assert reason_of(record) == reason
