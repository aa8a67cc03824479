"""The corpus's vectors on disk: kept, made again where damaged or changed, grown with the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

from numpy.typing import NDArray

from demo.encoders import SharedEncoder
from demo.vectors import BLOCK, CorpusVectors, block_key, load_block, save_block

TEXTS = [f"text {number}" for number in range(2 * BLOCK + 10)]


class Counted:
    """An encoder whose vectors follow from the text, and that counts its texts."""

    dimensions = 3

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str], /, *, prompt: str = "") -> NDArray[np.float32]:
        self.encoded += texts
        return np.array([[len(text), sum(map(ord, text)), 1] for text in texts], np.float32)


def fill(folder: Path, texts: Sequence[str], digest: str = "one") -> tuple[NDArray[np.float32], list[str]]:
    """(the vectors, the texts that had to be encoded for them)."""
    counted = Counted()
    encoder = SharedEncoder("counted", counted, similarity="dot", digest=digest)
    return CorpusVectors(encoder, texts, folder).start().wait().ready, counted.encoded


def test_what_is_kept_is_not_encoded_again(tmp_path: Path) -> None:
    first, encoded = fill(tmp_path, TEXTS)
    assert encoded == TEXTS
    second, encoded = fill(tmp_path, TEXTS)
    assert encoded == [] and np.array_equal(first, second)


def test_a_growing_corpus_keeps_its_whole_blocks(tmp_path: Path) -> None:
    fill(tmp_path, TEXTS[: BLOCK + 5])
    _, encoded = fill(tmp_path, TEXTS)
    assert encoded == TEXTS[BLOCK:]


def test_a_changed_text_is_encoded_with_its_block_alone(tmp_path: Path) -> None:
    fill(tmp_path, TEXTS)
    changed = [*TEXTS]
    changed[BLOCK] = "another"
    vectors, encoded = fill(tmp_path, changed)
    assert encoded == changed[BLOCK : 2 * BLOCK]
    assert vectors[BLOCK, 0] == len("another")


def test_another_encoder_shares_nothing(tmp_path: Path) -> None:
    fill(tmp_path, TEXTS)
    assert fill(tmp_path, TEXTS, digest="two")[1] == TEXTS


@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "shape"])
def test_a_damaged_block_is_made_again(damage: str, tmp_path: Path) -> None:
    whole, _ = fill(tmp_path, TEXTS)
    path = tmp_path / f"{block_key('one', TEXTS[:BLOCK])}.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "a byte":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "shape":
        save_block(path, np.zeros((BLOCK, 4), np.float32))
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    again, encoded = fill(tmp_path, TEXTS)
    assert encoded == TEXTS[:BLOCK] and np.array_equal(again, whole)
    assert load_block(path, (BLOCK, 3)) is not None


def test_where_nothing_can_be_kept_vectors_are_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    vectors, _ = fill(tmp_path / "file" / "vectors", TEXTS[:5])
    assert len(vectors) == 5


def test_an_encoder_that_fails_is_told_and_what_was_done_can_be_searched(tmp_path: Path) -> None:
    class Failing(Counted):
        def encode(self, texts: Sequence[str], /, *, prompt: str = "") -> NDArray[np.float32]:
            if self.encoded:
                raise OSError("no memory")
            return super().encode(texts)

    made = CorpusVectors(SharedEncoder("failing", Failing(), similarity="dot"), TEXTS, tmp_path).start()
    with pytest.raises(OSError, match="no memory"):
        made.wait()
    assert 0 < len(made.ready) < BLOCK
