"""64-bit hashes in arrays: mixed, looked up by the thousand, merged, each kept once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]


def mix64(values: Keys) -> Keys:
    """The finaliser of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class HashSet:
    """Sorted hashes with a bit map over their leading bits, which answers most look-ups.

    1 to 2 bytes a hash besides the hashes.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        bits = max(3, (8 * len(keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._map = np.zeros(1 << (bits - 3), np.uint8)
        span = 1 << min(bits, 24)
        for begin in range(0, 1 << bits, span):  # in slices: a byte for each bit while they are set
            low, high = begin << (64 - bits), ((begin + span) << (64 - bits)) - 1
            among = keys[np.searchsorted(keys, np.uint64(low)) : np.searchsorted(keys, np.uint64(high), "right")]
            flags = np.zeros(span, np.bool_)
            flags[(among >> self._shift) - np.uint64(begin)] = True
            self._map[begin >> 3 : (begin + span) >> 3] = np.packbits(flags, bitorder="little")

    def find(self, wanted: Keys) -> tuple[Places, Places]:
        """(which of `wanted` are here, where the first of each stands)."""
        bit = wanted >> self._shift
        maybe = np.flatnonzero((self._map[bit >> np.uint64(3)] >> (bit & np.uint64(7)).astype(np.uint8)) & 1)
        places = np.searchsorted(self.keys, wanted[maybe])
        here = places < len(self.keys)
        here[here] = self.keys[places[here]] == wanted[maybe[here]]
        return maybe[here], places[here]


def distinct_keys(arrays: list[Keys]) -> Keys:
    """All values, sorted, each once. Empties the list."""
    values = np.concatenate(arrays)
    arrays.clear()
    values.sort()
    first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values if first.all() else values[first]


def merge_owned(keys: Keys, owners: NDArray[np.uint16], of_set: Keys, owner: int) -> tuple[Keys, NDArray[np.uint16]]:
    """Sorted keys and their owners with those of one more set; of equal keys the newcomer stands last."""
    places = np.searchsorted(keys, of_set, "right")
    places += np.arange(len(of_set))
    old = np.ones(len(keys) + len(of_set), np.bool_)
    old[places] = False
    merged, merged_owners = np.empty(len(old), np.uint64), np.full(len(old), owner, np.uint16)
    merged[places] = of_set
    merged[old] = keys
    merged_owners[old] = owners
    return merged, merged_owners
