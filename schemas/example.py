"""`Pair` ⇄ serialised tf.train.Example, without TensorFlow.

The message classes are built in a descriptor pool of our own: TensorFlow registers the same names
in the default pool, and two registrations cannot live in one process.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from schemas.pair import MASK64, Fingerprints, Pair

_FIELD = descriptor_pb2.FieldDescriptorProto


def _example_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="pairstream/example.proto", package="tensorflow", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str | None], parent: Any = file.message_type) -> Any:
        made = parent.add(name=name)
        for field_name, number, label, kind, type_name in fields:
            made.field.add(name=field_name, number=number, label=label, type=kind, type_name=type_name)
        return made

    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    message("BytesList", ("value", 1, many, _FIELD.TYPE_BYTES, None))
    message("FloatList", ("value", 1, many, _FIELD.TYPE_FLOAT, None))
    message("Int64List", ("value", 1, many, _FIELD.TYPE_INT64, None))
    feature = message("Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("Bytes", "Float", "Int64"), start=1):
        feature.field.add(
            name=f"{name.lower()}_list",
            number=number,
            label=one,
            type=_FIELD.TYPE_MESSAGE,
            type_name=f".tensorflow.{name}List",
            oneof_index=0,
        )
    features = message("Features", ("feature", 1, many, _FIELD.TYPE_MESSAGE, ".tensorflow.Features.FeatureEntry"))
    entry = message(
        "FeatureEntry",
        ("key", 1, one, _FIELD.TYPE_STRING, None),
        ("value", 2, one, _FIELD.TYPE_MESSAGE, ".tensorflow.Feature"),
        parent=features.nested_type,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, one, _FIELD.TYPE_MESSAGE, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[attr-defined]  # the stubs know only the C++ pool
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


Example = _example_class()
"""tf.train.Example; the same wire format as TensorFlow's class, not the same class."""


def varint(number: int) -> bytes:
    """Protobuf's variable-length form of an integer of up to 64 bits."""
    if number < 0x4000:
        return _SHORT_VARINTS[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SHORT_VARINTS = [bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80, n >> 7]) for n in range(0x4000)]
_SEVENS = np.arange(10, dtype=np.uint64) * np.uint64(7)


def _packed_varints(numbers: NDArray[np.uint64], counts: NDArray[np.int64]) -> list[bytes]:
    """Runs of `counts` integers, each run as its varints one after the other."""
    groups = (numbers[:, None] >> _SEVENS).astype(np.uint8) & 0x7F
    lengths = np.where(numbers == 0, 1, 10 - np.argmax(groups[:, ::-1] != 0, axis=1))
    places = np.arange(10)
    groups |= np.where(places < lengths[:, None] - 1, 0x80, 0).astype(np.uint8)
    data = groups[places < lengths[:, None]].tobytes()
    ends = np.r_[0, np.cumsum(lengths)][np.r_[0, np.cumsum(counts)]].tolist()
    return [data[begin:end] for begin, end in pairwise(ends)]


class _Header(dict[int, bytes]):
    """Bytes before the values of a feature, by the length of the values."""

    MOST = 1 << 16

    def __init__(self, name: str, kind: bytes, *, single: bool = False) -> None:
        self._key, self._kind, self._single = b"\x0a" + varint(len(name)) + name.encode(), kind, single

    def __missing__(self, length: int) -> bytes:
        before = b"\x0a" + varint(length) if self._single else b""
        if self._kind == _INTEGERS:  # packed
            before = b"\x0a" + varint(length)
        before = self._kind + varint(len(before) + length) + before  # Feature
        before = self._key + b"\x12" + varint(len(before) + length) + before  # the map's entry
        before = b"\x0a" + varint(len(before) + length) + before  # Features
        if length < self.MOST:
            self[length] = before
        return before


_TEXTS, _INTEGERS = b"\x0a", b"\x1a"
"""Tags of BytesList and Int64List in a Feature."""
_ANCHOR, _CLUSTER, _DATASET, _GROUP, _POSITIVE, _REASON = (
    _Header(name, _TEXTS, single=True) for name in ("anchor", "cluster", "dataset", "group", "positive", "reason")
)
_CONTEXTS, _NEGATIVES = (_Header(name, _TEXTS) for name in ("contexts", "negatives"))
_CLUSTER_FINGERPRINT, _PAIR_FINGERPRINT, _TEXT_FINGERPRINTS = (
    _Header(name, _INTEGERS) for name in ("cluster_fingerprint", "pair_fingerprint", "text_fingerprints")
)


def _text(header: _Header, text: str) -> bytes:
    value = text.encode()
    return header[len(value)] + value


def _text_list(header: _Header, texts: tuple[str, ...]) -> bytes:
    encoded = [text.encode() for text in texts]
    value = b"".join([b"\x0a" + varint(len(text)) + text for text in encoded])
    return header[len(value)] + value


def _cluster(cluster: str, cluster_fingerprint: int) -> bytes:
    value = varint(cluster_fingerprint)
    return _CLUSTER_FINGERPRINT[len(value)] + value + _text(_CLUSTER, cluster)


def encode_pair(pair: Pair, fingerprints: Fingerprints, reason: str = "") -> bytes:
    """As `encode_pairs`, of one pair."""
    return encode_pairs([pair], [fingerprints], [reason])[0]


def encode_pairs(pairs: Sequence[Pair], fingerprints: Sequence[Fingerprints], reasons: Sequence[str]) -> list[bytes]:
    """Records: serialised Examples of pairs. Equal arguments give equal bytes in any process.

    The bytes are those that protobuf's deterministic serialisation gives, at five times its speed: a corpus
    has few lengths, so what stands before a value is looked up, not computed, and the fingerprints of many
    pairs are written at once. A reason says why a pair was set aside; it is a feature of rejects alone.
    Raises UnicodeEncodeError for a text with half a surrogate pair.
    """
    numbers = [number for prints in fingerprints for number in (prints.pair, *prints.texts)]
    counts = [count for prints in fingerprints for count in (1, len(prints.texts))]
    varints = iter(_packed_varints(np.array(numbers, np.uint64), np.array(counts, np.int64)))
    records = []
    for pair, prints, reason, whole, each in zip(pairs, fingerprints, reasons, varints, varints, strict=True):
        anchor, positive, dataset = pair.anchor.encode(), pair.positive.encode(), pair.dataset.encode()
        # Features in protobuf's order of names, in which a longer name precedes its beginning.
        features = (
            _ANCHOR[len(anchor)],
            anchor,
            b"" if pair.cluster is None else _cluster(pair.cluster, prints.cluster),
            _text_list(_CONTEXTS, pair.contexts) if pair.contexts else b"",
            _DATASET[len(dataset)],
            dataset,
            _text(_GROUP, pair.group) if pair.group else b"",
            _text_list(_NEGATIVES, pair.negatives) if pair.negatives else b"",
            _PAIR_FINGERPRINT[len(whole)],
            whole,
            _POSITIVE[len(positive)],
            positive,
            _text(_REASON, reason) if reason else b"",
            _TEXT_FINGERPRINTS[len(each)],
            each,
        )
        joined = b"".join(features)
        records.append(b"\x0a" + varint(len(joined)) + joined)
    return records


def reason_of(record: bytes) -> str:
    """Why a record was set aside; empty for one that was not."""
    feature = Example.FromString(record).features.feature
    return feature["reason"].bytes_list.value[0].decode() if "reason" in feature else ""


def decode_pair(record: bytes) -> tuple[Pair, Fingerprints]:
    """The pair and the fingerprints of a record.

    Raises ValueError when the bytes are no Example or lack what every record has.
    """
    try:
        feature = Example.FromString(record).features.feature
    except DecodeError:
        raise ValueError("the record is not a tf.train.Example") from None

    def texts(name: str) -> tuple[str, ...]:
        return tuple(value.decode() for value in feature[name].bytes_list.value) if name in feature else ()

    def one(name: str) -> str:
        values = texts(name)
        if len(values) != 1:
            raise ValueError(f"the record has {len(values)} values of {name!r}; expected 1")
        return values[0]

    def integers(name: str) -> tuple[int, ...]:
        return tuple(value & MASK64 for value in feature[name].int64_list.value) if name in feature else ()

    if "ids" in feature:
        raise ValueError("the record holds token ids; expected texts: use the dataset that it was made from")
    pair = Pair(
        dataset=one("dataset"),
        anchor=one("anchor"),
        positive=one("positive"),
        negatives=texts("negatives"),
        group=one("group") if "group" in feature else "",
        cluster=one("cluster") if "cluster" in feature else None,
        contexts=texts("contexts"),
    )
    whole = integers("pair_fingerprint")
    each = integers("text_fingerprints")
    if len(whole) != 1 or len(each) != len(pair.texts):
        raise ValueError("the record's fingerprints do not match its texts")
    return pair, Fingerprints(whole[0], each, (integers("cluster_fingerprint") or (0,))[0])
