"""`pairstream inspect` on texts and on ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pairstream.cli import main
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, frame, open_local, shard_name, write_shard
from schemas.token_records import encode_tokens

SHARD = shard_name("train", 0, 1)
IDS = [[101, *range(7, 30), 102], [101, 5, 102], [101, 6, 102]]
"""Of anchor, positive and a negative."""


def write_dataset(folder: Path, records: list[bytes], kind: str) -> Path:
    folder.mkdir()
    frames = [frame(record) for record in records]
    lengths = np.array([len(one) for one in frames], np.uint32)
    block = Block(b"".join(frames), lengths, np.arange(len(records), dtype=np.uint64))
    shard = write_shard(str(folder), SHARD, [block], window=16, open_file=open_local)
    part = Part("", (), {}, {}, shard.records, (), {"train": Split(shard.records, shard.bytes, 16, (shard,))}, {})
    (folder / MANIFEST_NAME).write_bytes(Manifest("made", "a → b", "none", "", "", (part,), kind).to_bytes())
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    pairs = [Pair("made", f"anchor {n}", f"positive {n}" * 90, (f"negative {n}",), group="g") for n in range(3)]
    return write_dataset(tmp_path / "texts", [encode_pair(pair, fingerprint(pair)) for pair in pairs], "text")


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    stored = np.array([token for text in IDS for token in text], "<u2").tobytes()
    prints = {"pair_fingerprint": 1, "text_fingerprints": [2, 3, 4], "cluster_fingerprint": 0}
    return write_dataset(tmp_path / "ids", [encode_tokens("made", stored, list(map(len, IDS)), **prints)] * 3, "tokens")


@pytest.mark.parametrize("place", ["", SHARD])
def test_ids_are_shown_by_their_number_and_the_first(place: str, ids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(ids / place), "-n", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    first = " ".join(map(str, IDS[0][:24]))
    assert out.count(f"anchor 25 ids: {first} … positive 3 ids: 101 5 102") == 2
    assert " 102 …" not in out


@pytest.mark.parametrize("place", ["", SHARD])
def test_texts_are_shown_with_negatives_and_group_and_long_ones_cut(
    place: str, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(texts / place), "-n", "2"]) == 0
    out = capsys.readouterr().out
    assert [f"anchor  anchor {n}\n" in out for n in range(3)] == [True, True, False]
    assert "negative  negative 1\n" in out and "group  g\n" in out
    assert out.count("(900 characters)") == 2


def test_damage_is_named_with_its_record(ids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray((ids / SHARD).read_bytes())
    content[len(content) // 3 + 40] ^= 1
    (ids / SHARD).write_bytes(content)
    assert main(["inspect", str(ids)]) == 1
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1 and f"{ids / SHARD}: record 1 is damaged" in err


@pytest.mark.parametrize(("path", "argv"), [("manifest.json", []), ("", ["-n", "-1"])])
def test_a_wrong_call_is_status_2(path: str, argv: list[str], ids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(ids / path), *argv]) == 2
    assert "expected" in capsys.readouterr().err
