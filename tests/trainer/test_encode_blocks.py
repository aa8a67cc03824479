"""Encoding at scale: blocks that survive a kill, an output that is whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import WORDS, write_encoder

from trainer.encode import TextEncoder
from trainer.encode_blocks import BlockOptions, blocks_folder, cut_blocks, encode_to_file
from trainer.encoders.digest import encoder_digest

TEXTS = [" ".join(WORDS[(7 * n + k) % 40] for k in range(n % 30)) for n in range(50)]
SMALL = BlockOptions(texts=8)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return TextEncoder.open(folder)


def killed_after(blocks: int, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TextEncoder.encode
    calls = []

    def encode(self, *arguments, **options):
        if len(calls) == blocks:
            raise KilledError
        calls.append(1)
        return whole(self, *arguments, **options)

    monkeypatch.setattr(TextEncoder, "encode", encode)


def test_an_array_holds_the_vectors_in_order(encoder: TextEncoder, tmp_path: Path) -> None:
    assert encode_to_file(encoder, "e", iter(TEXTS), tmp_path / "v.npy", options=SMALL) == (50, 0)
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


def test_parquet_holds_texts_beside_vectors(encoder: TextEncoder, tmp_path: Path) -> None:
    options = BlockOptions(texts=8, precision="float16")
    encode_to_file(encoder, "e", TEXTS, tmp_path / "v.parquet", options=options)
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["text"].to_pylist() == TEXTS
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=1e-3)


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_killed_command_goes_on_to_the_same_bytes(
    encoder: TextEncoder, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_to_file(encoder, "e", TEXTS, tmp_path / f"whole{suffix}", options=SMALL)
    output = tmp_path / f"killed{suffix}"
    with monkeypatch.context() as patch:
        killed_after(3, encoder, patch)
        with pytest.raises(KilledError):
            encode_to_file(encoder, "e", TEXTS, output, options=SMALL)
    assert not output.exists() and len(list(blocks_folder(output).iterdir())) == 3
    assert encode_to_file(encoder, "e", TEXTS, output, options=SMALL) == (50, 24)
    assert output.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not blocks_folder(output).exists()


def test_blocks_of_other_texts_or_another_encoder_are_made_anew(
    encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "v.npy"
    with monkeypatch.context() as patch:
        killed_after(3, encoder, patch)
        with pytest.raises(KilledError):
            encode_to_file(encoder, "e", TEXTS, output, options=SMALL)
    changed = [*TEXTS[:9], "w1 w2", *TEXTS[10:]]
    assert encode_to_file(encoder, "e", changed, output, options=SMALL) == (50, 16)
    np.testing.assert_allclose(np.load(output), encoder.encode(changed), atol=1e-5)
    with monkeypatch.context() as patch:
        killed_after(3, encoder, patch)
        with pytest.raises(KilledError):
            encode_to_file(encoder, "e", TEXTS, output, options=SMALL)
    assert encode_to_file(encoder, "another", TEXTS, output, options=SMALL) == (50, 0)


def test_no_texts_give_an_empty_array(encoder: TextEncoder, tmp_path: Path) -> None:
    assert encode_to_file(encoder, "e", [], tmp_path / "v.npy") == (0, 0)
    assert np.load(tmp_path / "v.npy").shape == (0, 16)


def test_an_input_that_cannot_be_read_leaves_no_folder(encoder: TextEncoder, tmp_path: Path) -> None:
    def damaged() -> Iterator[str]:
        yield "w1"
        raise ValueError("no text")

    with pytest.raises(ValueError, match="no text"):
        encode_to_file(encoder, "e", damaged(), tmp_path / "v.npy")
    assert not list(tmp_path.iterdir())


def test_a_block_ends_by_texts_or_by_characters() -> None:
    texts = ["a", "b" * 10, "c", "d", "e"]
    assert list(cut_blocks(texts, BlockOptions(texts=3, characters=11))) == [["a", "b" * 10], ["c", "d", "e"]]


def test_a_prompt_stands_before_every_text(encoder: TextEncoder, tmp_path: Path) -> None:
    encode_to_file(encoder, "e", TEXTS, tmp_path / "v.npy", options=BlockOptions(prompt="w9 "))
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), encoder.encode([f"w9 {t}" for t in TEXTS]), atol=1e-5)


def test_a_digest_tells_encoders_apart_and_not_their_cards(folder: Path, tmp_path: Path) -> None:
    other = write_encoder(tmp_path / "other")
    assert encoder_digest(other) == encoder_digest(folder)
    (other / "README.md").write_text("a card")
    assert encoder_digest(other) == encoder_digest(folder)
    (other / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    assert encoder_digest(other) != encoder_digest(folder)
