"""Datasets of texts → datasets of ids: the same pairs in the same places, whatever the workers and kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pipelines import tokenize as module
from pipelines.tokenize import TokenizeJob, run
from reader.plan import plan_batches
from reader.stream import Packing, stream_batches, stream_pairs
from schemas.example import decode_pair, encode_pair
from schemas.manifest import HISTOGRAM_EDGES, MANIFEST_NAME, Manifest, Part, Split, Stage, verify
from schemas.mixture import BatchPolicy, Mixture, MixtureEntry
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, Shard, frame, index_name, open_local, read_shard, shard_name, write_shard
from schemas.token_records import TokenTable, decode_tokens, located
from schemas.tokens import NO_PREFIXES, Prefixes, tokenizer_digest

WORDS = [f"w{number}" for number in range(96)]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
CLOSING = SPECIAL.index("[SEP]")


def make_tokenizer(vocabulary: int = len(SPECIAL) + len(WORDS)) -> Tokenizer:
    tokens = [*SPECIAL, *WORDS, *(f"x{number}" for number in range(vocabulary - len(SPECIAL) - len(WORDS)))]
    made = Tokenizer(models.WordLevel({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    made.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", CLOSING)]
    )
    return made


def make_pairs(name: str, count: int, negatives: int = 0) -> list[Pair]:
    chance = random.Random(f"{name} {count}")

    def text(most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))

    return [
        Pair(
            name,
            f"{n} {text(9)}",
            text(70),
            tuple(text(5) for _ in range(n % (negatives + 1))),
            cluster=f"c{n // 2}" if n % 3 == 0 else None,
        )
        for n in range(count)
    ]


def write_part(folder: Path, path: str, name: str, splits: dict[str, list[int]], negatives: int = 0) -> Part:
    """A part of a dataset of texts: shards of so many pairs in each split."""
    (folder / path).mkdir(parents=True)
    pairs = iter(make_pairs(f"{name}{path}", sum(sum(counts) for counts in splits.values()), negatives))
    made = {}
    for split, counts in splits.items():
        shards: list[Shard] = []
        for number, count in enumerate(counts):
            some = [replace(next(pairs), dataset=name) for _ in range(count)]
            prints = [fingerprint(pair) for pair in some]
            frames = [frame(encode_pair(pair, of_pair)) for pair, of_pair in zip(some, prints, strict=True)]
            block = Block(
                b"".join(frames),
                np.array([len(framed) for framed in frames], np.uint32),
                np.array([of_pair.pair for of_pair in prints], np.uint64),
            )
            file = shard_name(split, number, len(counts))
            shards.append(write_shard(str(folder / path), file, [block], window=16, open_file=open_local))
        made[split] = Split(sum(counts), sum(shard.bytes for shard in shards), 16, tuple(shards))
    records = sum(split.records for split in made.values())
    statistics = {"characters": {"edges": []}, "origins": {"place": {"here": records}}}
    return Part(path, ("make",), {"seed": 5}, {}, records + 1, (Stage("read", records, {"bad": 1}),), made, statistics)


def write_texts(folder: Path, name: str, *parts: dict[str, list[int]], negatives: int = 0) -> Manifest:
    made = tuple(
        write_part(folder, f"part-{number:03d}" if number else "", name, splits, negatives)
        for number, splits in enumerate(parts)
    )
    manifest = Manifest(name, "a → b", "none", "nobody", "https://x", made, folder=str(folder))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def make_job(data: Path, output: Path, *names: str, tokenizer: Tokenizer | None = None, **changes: Any) -> TokenizeJob:
    folders = tuple((str(data / name), str(output / name)) for name in names)
    return TokenizeJob(
        folders=folders, output=str(output), tokenizer=(tokenizer or make_tokenizer()).to_str(), **changes
    )


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file but the manifests, which tell of commands."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


def read_ids(path: str, texts: int = 5) -> TokenTable:
    return decode_tokens(*located(list(read_shard(path))), texts)


def all_shards(manifest: Manifest) -> list[str]:
    return [path for split in ("train", "test") for path, _ in manifest.shards(split)]


NAMES = ("one", "sub/two")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("texts")
    write_texts(data / "one", "one", {"train": [50, 37], "test": [9]}, {"train": [20]}, negatives=3)
    write_texts(data / "sub/two", "sub/two", {"train": [1100]})  # more than are tokenised at once
    return data


@pytest.fixture(scope="module")
def ids(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("ids") / "data"
    run(make_job(texts, output, *NAMES, command=("pairstream", "tokenize", "texts")))
    return output


def test_shards_are_one_to_one_in_name_order_window_and_fingerprints(texts: Path, ids: Path) -> None:
    assert set(files_in(ids)) == set(files_in(texts))  # nothing of the job is left beside them
    for name in NAMES:
        parent, manifest = Manifest.load(texts / name), Manifest.load(ids / name)
        assert [part.path for part in manifest.parts] == [part.path for part in parent.parts]
        for theirs, ours in zip(all_shards(parent), all_shards(manifest), strict=True):
            assert Path(ours).relative_to(ids) == Path(theirs).relative_to(texts)
            assert Path(ours).with_suffix(".fp").read_bytes() == Path(theirs).with_suffix(".fp").read_bytes()
            pairs = [decode_pair(record)[1] for record in read_shard(theirs)]
            table = read_ids(ours)
            assert table.pair_fingerprints.tolist() == [each.pair for each in pairs]
            assert table.clusters.tolist() == [each.cluster for each in pairs]
            assert [row[row > 0].tolist() for row in table.text_fingerprints] == [list(each.texts) for each in pairs]
        for theirs, ours in zip(parent.parts, manifest.parts, strict=True):
            for split in theirs.splits:
                assert ours.splits[split].window == theirs.splits[split].window
                assert ours.splits[split].records == theirs.splits[split].records


def test_the_manifest_keeps_what_its_parent_says_and_names_it(texts: Path, ids: Path) -> None:
    tokenizer = Tokenizer.from_str(make_tokenizer().to_str())
    for name in NAMES:
        parent, manifest = Manifest.load(texts / name), Manifest.load(ids / name)
        assert (manifest.kind, manifest.parent, manifest.pairs_hash) == (
            "tokens",
            parent.content_hash,
            parent.pairs_hash,
        )
        assert manifest.content_hash != parent.content_hash
        for field in ("dataset", "tuple", "licence", "citation", "url"):
            assert getattr(manifest, field) == getattr(parent, field)
        for theirs, ours in zip(parent.parts, manifest.parts, strict=True):
            assert (ours.read, ours.funnel, ours.inputs) == (theirs.read, theirs.funnel, theirs.inputs)
            assert ours.command == ("pairstream", "tokenize", "texts")
            digest = {"tokenizer": tokenizer_digest(tokenizer), "prefixes": ["", ""]}
            assert ours.options == {**theirs.options, **digest}
            assert ours.statistics["origins"] == theirs.statistics["origins"]
        assert list(verify(manifest)) == []


def test_the_manifest_counts_tokens_by_part_split_and_side(ids: Path) -> None:
    manifest = Manifest.load(ids / "one")
    for part in manifest.parts:
        tokens = part.statistics["tokens"]
        assert set(tokens) == {"edges", *part.splits}
        assert tokens["edges"] == list(HISTOGRAM_EDGES)
        for split, found in part.splits.items():
            folder = Path(manifest.folder) / part.path
            lengths = np.concatenate([read_ids(str(folder / shard.file), 2).lengths for shard in found.shards])
            for side, of_side in zip(("anchor", "positive"), lengths.T, strict=True):
                expected = [
                    int(((of_side >= low) & (of_side < high)).sum())
                    for low, high in zip(HISTOGRAM_EDGES, (*HISTOGRAM_EDGES[1:], 1 << 30), strict=True)
                ]
                assert tokens[split][side] == expected
                assert sum(expected) == found.records


def expected_ids(path: str, tokenizer: Tokenizer, prefixes: Prefixes) -> list[int]:
    pairs = [decode_pair(record)[0] for record in read_shard(path)]
    found = []
    for pair in pairs:
        sides = [prefixes.anchor + pair.anchor, *(prefixes.positive + text for text in pair.texts[1:])]
        found += [token for text in sides for token in tokenizer.encode(text).ids]
    return found


@pytest.mark.parametrize(
    ("prefixes", "vocabulary", "kind"),
    [
        (NO_PREFIXES, 1 << 16, np.uint16),
        (NO_PREFIXES, (1 << 16) + 1, np.uint32),
        (Prefixes("w0 w1 ", "w2 "), 100, np.uint16),
    ],
)
def test_ids_are_the_tokenizers_uncut_in_the_narrowest_width(
    prefixes: Prefixes, vocabulary: int, kind: type, texts: Path, tmp_path: Path
) -> None:
    tokenizer = make_tokenizer(vocabulary)
    (manifest,) = run(make_job(texts, tmp_path, "one", tokenizer=tokenizer, prefixes=prefixes))
    for theirs, ours in zip(all_shards(Manifest.load(texts / "one")), all_shards(manifest), strict=True):
        table = read_ids(ours)
        assert table.ids.dtype == kind
        assert table.ids.tolist() == expected_ids(theirs, tokenizer, prefixes)
        prints = [decode_pair(record)[1].texts for record in read_shard(theirs)]
        assert [row[row > 0].tolist() for row in table.text_fingerprints] == [list(each) for each in prints]
    (part, _) = manifest.parts
    assert part.options["prefixes"] == list(prefixes)
    assert part.options["tokenizer"] == tokenizer_digest(tokenizer, prefixes)


@pytest.mark.parametrize("prefixes", [NO_PREFIXES, Prefixes("w0 w1 ", "w2 ")])
def test_texts_and_ids_give_the_same_batches(prefixes: Prefixes, texts: Path, tmp_path: Path) -> None:
    run(make_job(texts, tmp_path, *NAMES, prefixes=prefixes))
    mixture = Mixture((MixtureEntry("one", 2), MixtureEntry("sub/two", 1)), 0, BatchPolicy(32, 2))
    of_texts, of_ids = (plan_batches(mixture, data) for data in (texts, tmp_path))
    assert of_texts.content_hash == of_ids.content_hash
    packing = Packing(make_tokenizer(), pairs=8, rows=12, row_tokens=64, max_tokens=(12, 20), prefixes=prefixes)
    batches = [list(stream_batches(plan, 0, 9, packing, negatives=2)) for plan in (of_texts, of_ids)]
    for theirs, ours in zip(*batches, strict=True):
        for field, other in zip(theirs, ours, strict=True):
            assert (field.dtype, field.shape, field.tobytes()) == (other.dtype, other.shape, other.tobytes())
    for theirs, ours in zip(stream_pairs(of_texts, 0, 9), stream_pairs(of_ids, 0, 9), strict=True):
        assert theirs.pair_fingerprints.tolist() == ours.pair_fingerprints.tolist()


def test_other_texts_give_ids_with_another_plan(texts: Path, ids: Path, tmp_path: Path) -> None:
    write_texts(tmp_path / "one", "one", {"train": [50, 38]})
    mixture = Mixture((MixtureEntry("one", 1),), 0, BatchPolicy(32, 1))
    assert plan_batches(mixture, tmp_path).content_hash != plan_batches(mixture, ids).content_hash


def test_a_dataset_of_ids_is_refused(ids: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one holds tokens; expected a dataset of texts$"):
        run(make_job(ids, tmp_path / "out", "one"))
    assert not (tmp_path / "out").exists()


def test_a_complete_output_is_replaced_only_on_request(texts: Path, tmp_path: Path) -> None:
    run(make_job(texts, tmp_path, "one"))
    before = files_in(tmp_path)
    prefixes = Prefixes("w0 ", "w1 ")
    with pytest.raises(FileExistsError, match="the dataset is complete; --overwrite replaces it"):
        run(make_job(texts, tmp_path, "one", prefixes=prefixes))
    assert files_in(tmp_path) == before
    (manifest,) = run(make_job(texts, tmp_path, "one", overwrite=True, prefixes=prefixes))
    assert list(verify(manifest)) == []
    after = files_in(tmp_path)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == {name for name in after if name.endswith(".fp")}


def flip_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def offset_of(path: Path, number: int) -> int:
    return sum(len(frame(record)) for record in list(read_shard(path))[:number])


def cut(path: Path, number: int) -> None:
    path.write_bytes(path.read_bytes()[: offset_of(path, number)])


def put_ids(path: Path) -> None:
    ids = b"".join(frame(record) for record in list(read_shard(path))[:7]) + frame(b"\x0a\x02no")
    path.write_bytes(ids + path.read_bytes()[offset_of(path, 8) :])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flip_byte(path, offset_of(path, 7) + 30), "record 7 is damaged; make the dataset again"),
        (lambda path: flip_byte(path, offset_of(path, 7)), "record 7 has a damaged length; make the dataset again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "record 36 is cut short; make the dataset again"),
        (put_ids, "record 7: the record is not a tf.train.Example; make the dataset again"),
        (lambda path: cut(path, 30), "30 pairs that are not those of its manifest; make it again"),
    ],
)
def test_a_damaged_shard_of_texts_is_named_with_its_record_and_nothing_is_left(
    damage: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    write_texts(tmp_path / "texts/one", "one", {"train": [50, 37]}, {"train": [9]})
    shard = tmp_path / "texts/one" / shard_name("train", 1, 2)
    damage(shard)
    with pytest.raises(Exception, match="train-00001") as caught:
        run(make_job(tmp_path / "texts", tmp_path / "out", "one"))
    assert f"{shard}: {said}" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output", ["out*", "out?", "out[1]"])
def test_an_output_that_reads_as_a_glob_is_refused(output: str, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a path without"):
        make_job(texts, tmp_path / output, "one")


def test_lists_of_finished_work_outside_the_output_end_with_the_job(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they lie where the output is remote."""

    def apart(_: str, identity: str) -> str:
        folder = tmp_path / "lists" / identity
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    monkeypatch.setattr(module, "local_folder", apart)
    job = make_job(texts, tmp_path / "out", "one")
    run(job)
    assert not list((tmp_path / "lists").iterdir())
    (manifest,) = run(replace(job, overwrite=True))
    assert list(verify(manifest)) == []


def test_replacing_an_output_repeats_what_an_interrupted_job_had_finished(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that ends between the manifests and the removal of its staging folder leaves both."""
    job = make_job(texts, tmp_path, "one")
    with monkeypatch.context() as patched:
        patched.setattr(module, "clear_staging", lambda _: None)
        patched.setattr(module, "_clear_spills", lambda _: None)
        run(job)
    assert list(tmp_path.glob(".staging-*/done-*"))
    (manifest,) = run(replace(job, overwrite=True))
    assert list(verify(manifest)) == []
    assert not list(tmp_path.glob(".staging-*"))


@pytest.mark.slow
def test_workers_do_not_show(texts: Path, ids: Path, tmp_path: Path) -> None:
    run(make_job(texts, tmp_path, *NAMES, workers=2))
    assert files_in(tmp_path) == files_in(ids)
    for name in NAMES:
        manifests = [Manifest.load(folder / name) for folder in (tmp_path, ids)]
        assert manifests[0].content_hash == manifests[1].content_hash


def start(texts: Path, tokenizer: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pairstream", "tokenize", str(texts)]
    return subprocess.Popen([*command, "--tokenizer", str(tokenizer), "--output", str(output)], stderr=subprocess.PIPE)


def finished(output: Path) -> set[Path]:
    """Shards that the job has written down as finished."""
    lists = [json.loads(path.read_bytes()) for path in output.glob(".staging-*/done-tokenize-*.json")]
    return {output / value[3][0] for outputs in lists for tag, value in outputs if tag == module.SHARDS}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kills_at_random_moments_never_show_and_finished_shards_are_not_done_again(seed: int, tmp_path: Path) -> None:
    chance, output = random.Random(seed), tmp_path / "out"
    write_texts(tmp_path / "texts", "many", {"train": [2000] * 30})
    tokenizer = tmp_path / "tokenizer.json"
    make_tokenizer().save(str(tokenizer))
    kept: dict[Path, int] = {}
    for _ in range(2):
        process = start(tmp_path / "texts", tokenizer, output)
        wanted, deadline = len(kept) + chance.randint(1, 8), time.monotonic() + 600
        try:
            while len(finished(output)) < wanted:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert not (output / MANIFEST_NAME).exists()
        assert {path: os.stat(path).st_mtime_ns for path in kept} == kept
        kept = {path: os.stat(path).st_mtime_ns for path in finished(output)}
    assert len(kept) < 30
    process = start(tmp_path / "texts", tokenizer, output)
    assert process.wait(120) == 0, process.communicate()
    assert {path: os.stat(path).st_mtime_ns for path in kept} == kept
    manifest = Manifest.load(output)
    assert list(verify(manifest)) == []
    tokenizer_json = Tokenizer.from_file(str(tokenizer))
    undisturbed = TokenizeJob(
        folders=((str(tmp_path / "texts"), str(tmp_path / "clean")),),
        output=str(tmp_path / "clean"),
        tokenizer=tokenizer_json.to_str(),
    )
    assert run(undisturbed)[0].content_hash == manifest.content_hash
    assert files_in(output) == files_in(tmp_path / "clean")
    assert all((output / index_name(path.name)).exists() for path in kept)
