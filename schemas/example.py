"""`Pair` ⇄ serialised tf.train.Example, without TensorFlow.

The message classes are built in a descriptor pool of our own: TensorFlow registers the same names
in the default pool, and two registrations cannot live in one process.
"""

from __future__ import annotations

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


def encode_pair(pair: Pair, fingerprints: Fingerprints) -> bytes:
    """A record: the serialised Example of a pair. Equal arguments give equal bytes in any process."""
    example = Example()
    feature = example.features.feature

    def put_texts(name: str, values: tuple[str, ...]) -> None:
        feature[name].bytes_list.value.extend([value.encode() for value in values])

    put_texts("dataset", (pair.dataset,))
    put_texts("anchor", (pair.anchor,))
    put_texts("positive", (pair.positive,))
    if pair.negatives:
        put_texts("negatives", pair.negatives)
    if pair.group:
        put_texts("group", (pair.group,))
    if pair.cluster is not None:
        put_texts("cluster", (pair.cluster,))
        feature["cluster_fingerprint"].int64_list.value.append(_signed(fingerprints.cluster))
    if pair.contexts:
        put_texts("contexts", pair.contexts)
    feature["pair_fingerprint"].int64_list.value.append(_signed(fingerprints.pair))
    feature["text_fingerprints"].int64_list.value.extend([_signed(value) for value in fingerprints.texts])
    return example.SerializeToString(deterministic=True)


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


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
