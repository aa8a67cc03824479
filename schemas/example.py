"""`Pair` ⇄ serialised tf.train.Example, without TensorFlow.

The message classes are built in a descriptor pool of our own: TensorFlow registers the same names
in the default pool, and two registrations cannot live in one process.
"""

from __future__ import annotations

import threading
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

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


class _Template:
    """An Example with a fixed set of features, filled anew for each pair: looking features up costs more."""

    def __init__(self, texts: tuple[str, ...], integers: tuple[str, ...]) -> None:
        self._example = Example()
        feature = self._example.features.feature
        self._texts = [feature[name].bytes_list.value for name in texts]
        self._integers = [feature[name].int64_list.value for name in integers]

    def encode(self, texts: list[tuple[str, ...]], integers: list[tuple[int, ...]]) -> bytes:
        for field, values in zip(self._texts, texts, strict=True):
            field[:] = [value.encode() for value in values]
        for field, numbers in zip(self._integers, integers, strict=True):
            field[:] = [number - _WRAP if number >> 63 else number for number in numbers]
        return self._example.SerializeToString(deterministic=True)


_WRAP = 1 << 64


class _Templates(threading.local):
    """A thread's templates, by the features that the pair has beyond those of every pair."""

    def __init__(self) -> None:
        self.made: dict[tuple[bool, ...], _Template] = {}

    def find(self, has: tuple[bool, ...]) -> _Template:
        if (template := self.made.get(has)) is None:
            negatives, group, cluster, contexts, reason = has
            texts = ("dataset", "anchor", "positive") + ("negatives",) * negatives + ("group",) * group
            texts += ("cluster",) * cluster + ("contexts",) * contexts + ("reason",) * reason
            integers = ("pair_fingerprint", "text_fingerprints") + ("cluster_fingerprint",) * cluster
            template = self.made[has] = _Template(texts, integers)
        return template


_TEMPLATES = _Templates()


def encode_pair(pair: Pair, fingerprints: Fingerprints, reason: str = "") -> bytes:
    """A record: the serialised Example of a pair. Equal arguments give equal bytes in any process.

    `reason` says why a pair was set aside; it is a feature of rejects alone.
    Raises UnicodeEncodeError for a text with half a surrogate pair.
    """
    has_cluster = pair.cluster is not None
    has = (bool(pair.negatives), bool(pair.group), has_cluster, bool(pair.contexts), bool(reason))
    texts: list[tuple[str, ...]] = [(pair.dataset,), (pair.anchor,), (pair.positive,)]
    if pair.negatives:
        texts.append(pair.negatives)
    if pair.group:
        texts.append((pair.group,))
    if pair.cluster is not None:
        texts.append((pair.cluster,))
    if pair.contexts:
        texts.append(pair.contexts)
    if reason:
        texts.append((reason,))
    integers = [(fingerprints.pair,), fingerprints.texts]
    if has_cluster:
        integers.append((fingerprints.cluster,))
    return _TEMPLATES.find(has).encode(texts, integers)


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
