"""A pair as token ids ⇄ serialised tf.train.Example: the record of a dataset of kind `tokens`.

Each record has the same four features, one bytes value each, numbers little-endian:

    dataset        the dataset's tag
    fingerprints   uint64[2 + T]: of the pair, of its cluster (0: none), of each text
    ids            uint16 or uint32: the ids of all texts, one after the other
    lengths        uint32[T]: ids of anchor, positive, negatives

An id has as many bytes as `ids` over the sum of `lengths`. Few features in a fixed order make a
record quick to parse, for TensorFlow as for `decode_records`, which walks all records of a batch
in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEATURES = ("dataset", "fingerprints", "ids", "lengths")
_TAG = b"\n"  # field 1, length-delimited: all there is at every depth, but for an entry's value
_VALUE_TAG = b"\x12"  # field 2
_KEYS = tuple(_TAG + bytes([len(name)]) + name.encode() + _VALUE_TAG for name in FEATURES)
# A key is told by its last eight bytes, read as one number.
_TAIL = {key: np.uint64(int.from_bytes(key[-8:], "little")) for key in _KEYS}
_SPARE = {key: np.uint64(8 * max(0, 8 - len(key))) for key in _KEYS}
_NOT_OURS = "not a record of token ids; make the dataset again with `pairstream tokenize`"


class TokenTable(NamedTuple):
    """n pairs of T texts as ids."""

    ids: NDArray[np.unsignedinteger]
    """The ids of all texts in (pair, slot) order, special tokens included."""
    lengths: NDArray[np.int64]
    """[n, T] ids of each text; 0 where there is none."""
    present: NDArray[np.bool_]
    """[n, T]"""
    text_fingerprints: NDArray[np.uint64]
    """[n, T] 0 where there is no text."""
    pair_fingerprints: NDArray[np.uint64]
    """[n]"""
    clusters: NDArray[np.uint64]
    """[n] 0: no cluster."""


def encode_tokens(
    dataset: str,
    ids: bytes,
    lengths: Sequence[int],
    *,
    pair_fingerprint: int,
    text_fingerprints: Sequence[int],
    cluster_fingerprint: int,
) -> bytes:
    """A record, to the byte as protobuf serialises it with deterministic map order.

    `ids` are those of all texts as little-endian uint16 or uint32, `lengths` how many each text has.
    """
    if len(lengths) != len(text_fingerprints) or len(ids) not in (2 * sum(lengths), 4 * sum(lengths)):
        raise ValueError(
            f"{len(ids)} bytes of ids and {len(text_fingerprints)} fingerprints for {len(lengths)} texts with "
            f"{sum(lengths)} ids; expected 2 or 4 bytes an id and a fingerprint a text"
        )
    fingerprints = np.array([pair_fingerprint, cluster_fingerprint, *text_fingerprints], "<u8").tobytes()
    values = (dataset.encode(), fingerprints, ids, np.array(lengths, "<u4").tobytes())
    entries = [key + _field(_field(_field(value)))[1:] for key, value in zip(_KEYS, values, strict=True)]
    return _field(b"".join(map(_field, entries)))


def _field(message: bytes) -> bytes:
    size, varint = len(message), bytearray(_TAG)
    while size > 127:
        varint.append(size & 127 | 128)
        size >>= 7
    varint.append(size)
    return bytes(varint) + message


def is_token_record(data: bytes, begin: int = 0) -> bool:
    """Whether the record that begins there holds ids: then its first feature is the dataset, else a text."""
    return data.find(_KEYS[0], begin, begin + 22) >= 0  # after two tags and two sizes of up to five bytes


def located(records: Sequence[bytes]) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
    """Records one after the other in one buffer, and where each begins and ends."""
    sizes = np.array([len(record) for record in records], np.int64)
    ends = np.cumsum(sizes)
    return b"".join(records), ends - sizes, ends


def decode_tokens(data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64], texts: int) -> TokenTable:
    """All records that lie in `data` from `begins` to `ends`, each with the first `texts` of its texts.

    Raises ValueError for anything that `encode_tokens` did not make.
    """
    _, prints, ids, lengths = _locate_values(data, begins, ends)
    counts = lengths.size // 4
    if (lengths.size != 4 * counts).any() or (prints.size != 8 * (counts + 2)).any() or (counts < 2).any():
        raise ValueError(_NOT_OURS)
    slots = np.arange(max(texts, int(counts.max(initial=0))))
    present = slots < counts[:, None]
    slots = np.where(present, slots, 0)
    words = _numbers(data, "<u8")
    of_texts = np.where(present, _numbers(data, "<u4")[lengths.at[:, None] + 4 * slots], 0).astype(np.int64)
    width = _id_width(ids.size, of_texts.sum(axis=1))
    of_texts, present, slots = of_texts[:, :texts], present[:, :texts], slots[:, :texts]
    kept = (ids.at + width * of_texts.sum(axis=1)).tolist()
    return TokenTable(
        ids=np.frombuffer(
            b"".join([data[begin:end] for begin, end in zip(ids.at.tolist(), kept, strict=True)]), f"<u{width}"
        ),
        lengths=of_texts,
        present=present,
        text_fingerprints=np.where(present, words[prints.at[:, None] + 8 * (2 + slots)], np.uint64(0)),
        pair_fingerprints=words[prints.at],
        clusters=words[prints.at + 8],
    )


def _id_width(sizes: NDArray[np.int64], ids: NDArray[np.int64]) -> int:
    for width in (2, 4):
        if np.array_equal(sizes, width * ids):
            return width
    raise ValueError("token ids of two and of four bytes in one batch; expected one; tokenise all datasets alike")


def _numbers(data: bytes, kind: str) -> NDArray[np.unsignedinteger]:
    """The number that begins at each byte: numbers in a record are not aligned."""
    size = np.dtype(kind).itemsize
    return np.ndarray((max(0, len(data) - size + 1),), kind, data, strides=(1,))


class _Values(NamedTuple):
    """Where one feature's value lies in each record."""

    at: NDArray[np.int64]
    size: NDArray[np.int64]


def _locate_values(data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> list[_Values]:
    """The value of each feature in each record."""
    octets, words = np.frombuffer(data, np.uint8), _numbers(data, "<u8")
    found = []
    try:
        at, _ = _open(octets, begins)
        for key in _KEYS:
            at, _ = _open(octets, at)
            at = at + len(key)
            if (words[at - 8] >> _SPARE[key] != _TAIL[key]).any():
                raise ValueError(_NOT_OURS)
            at, _ = _size(octets, at)
            at, _ = _open(octets, at)
            value = _Values(*_open(octets, at))
            found.append(value)
            at = value.at + value.size
    except IndexError:
        raise ValueError(_NOT_OURS) from None
    if not np.array_equal(at, ends):
        raise ValueError(_NOT_OURS)
    return found


def _open(octets: NDArray[np.uint8], at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first byte, size) of the message of field 1 at each place."""
    if (octets[at] != _TAG[0]).any():
        raise ValueError(_NOT_OURS)
    return _size(octets, at + 1)


def _size(octets: NDArray[np.uint8], at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(place after, value) of the varint at each place."""
    octet = octets[at].astype(np.int64)
    at, size = at + 1, octet & 127
    for shift in (7, 14, 21):
        more = octet > 127
        if not more.any():
            return at, size
        octet = np.where(more, octets[at * more], 0)
        at, size = at + more, size | (octet & 127).astype(np.int64) << shift
    if (octet > 127).any():
        raise ValueError(_NOT_OURS)  # a quarter of a gigabyte
    return at, size


def join_tables(tables: Sequence[TokenTable], rows: Sequence[NDArray[np.int64]]) -> TokenTable:
    """One table of several: pair i of table t becomes pair `rows[t][i]` of the whole."""
    order = np.argsort(np.concatenate(rows))
    fields = [np.concatenate(field)[order] for field in zip(*(table[1:] for table in tables), strict=True)]
    sizes = np.concatenate([table.lengths.sum(axis=1) for table in tables])
    begins = (np.cumsum(sizes) - sizes)[order]
    sizes = sizes[order]
    places = np.arange(sizes.sum()) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
    return TokenTable(np.concatenate([table.ids for table in tables])[places], *fields)
