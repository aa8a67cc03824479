import dataclasses
import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.manifest import Manifest, Part, Split, Stage, find_manifests, is_relative_name, verify
from schemas.shards import Shard, fingerprints_name, index_name

SHARD_NAMES = ("train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord")
FUNNEL = (Stage("read", 9, {"not_json": 1}), Stage("filter", 5, {"too_short": 4}))


def make_shard(name: str, records: int = 2, digest: str = "a" * 64) -> Shard:
    return Shard(name, records, 100, digest, "b" * 64, "c" * 64)


def make_part(**changes) -> Part:
    fields = {
        "path": "",
        "command": ("pairstream", "preprocess", "reddit"),
        "options": {"seed": 0},
        "inputs": {"files": 1},
        "read": 10,
        "funnel": FUNNEL,
        "splits": {
            "train": Split(4, 200, 16, tuple(make_shard(name) for name in SHARD_NAMES)),
            "test": Split(1, 100, 16, (make_shard("test-00000-of-00001.tfrecord", 1),)),
        },
        "statistics": {"characters": {}},
    }
    return Part(**{**fields, **changes})


def make_manifest(*parts: Part, folder: str = "data/reddit", dataset: str = "reddit") -> Manifest:
    return Manifest(dataset, "comment → reply", "none", "them", "https://x", parts or (make_part(),), folder=folder)


def test_a_manifest_comes_back_as_it_was_written():
    manifest = make_manifest(make_part(), make_part(path="part-1"))
    assert Manifest.from_bytes(manifest.to_bytes(), folder="data/reddit") == manifest


def test_load_remembers_the_folder_and_shards_lie_in_it(tmp_path):
    (tmp_path / "manifest.json").write_bytes(make_manifest(make_part(), make_part(path="part-1")).to_bytes())
    manifest = Manifest.load(tmp_path)
    assert [located.path for located in manifest.shards("train")] == [
        *(f"{tmp_path}/{name}" for name in SHARD_NAMES),
        *(f"{tmp_path}/part-1/{name}" for name in SHARD_NAMES),
    ]
    assert manifest.records("train") == 8 and manifest.records("test") == 2 and manifest.records("dev") == 0


def test_a_folder_without_manifest_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json: no such manifest; expected a dataset"):
        Manifest.load(tmp_path)


def test_the_content_hash_ignores_paths_commands_and_inputs():
    plain = make_manifest()
    for other in (
        make_manifest(folder="/elsewhere"),
        make_manifest(make_part(command=("other",))),
        make_manifest(make_part(inputs={"files": 7})),
        make_manifest(make_part(path="moved")),
    ):
        assert other.content_hash == plain.content_hash


@pytest.mark.parametrize("field", ["sha256", "index_sha256", "fingerprints_sha256", "bytes"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_content_hash_changes_with_every_checksum(field, split):
    part = make_part()
    old = part.splits[split]
    value = 100 if field == "bytes" else "a" * 64
    changed = dataclasses.replace(old.shards[-1], **{field: 99 if value == 100 else "d" * 64})
    shards = (*old.shards[:-1], changed)
    new = dataclasses.replace(old, shards=shards, bytes=sum(shard.bytes for shard in shards))
    other = make_manifest(make_part(splits={**part.splits, split: new}))
    assert other.content_hash != make_manifest().content_hash


def test_the_content_hash_changes_with_name_kind_window_and_order_of_shards():
    plain = make_manifest()
    train = make_part().splits["train"]
    turned = dataclasses.replace(train, shards=train.shards[::-1])
    others = [
        make_manifest(dataset="other"),
        dataclasses.replace(plain, kind="tokens"),
        make_manifest(make_part(splits={**make_part().splits, "train": turned})),
        make_manifest(make_part(splits={**make_part().splits, "train": dataclasses.replace(train, window=32)})),
        make_manifest(make_part(), make_part()),
    ]
    assert len({plain.content_hash, *(other.content_hash for other in others)}) == 6


def tamper(change) -> bytes:
    document = orjson.loads(make_manifest().to_bytes())
    change(document)
    return orjson.dumps(document)


def first_shard(document):
    return document["parts"][0]["splits"]["train"]["shards"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(content_hash="0" * 64), "the content hash does not match"),
        (lambda d: first_shard(d).update(sha256="0" * 64), "the content hash does not match"),
        (lambda d: d.update(format=2), "format 2; expected 1"),
        (lambda d: d.pop("format"), "format None; expected 1"),
        (
            lambda d: first_shard(d).update(file="../../etc/passwd"),
            "'../../etc/passwd' leaves the dataset's folder",
        ),
        (lambda d: first_shard(d).update(file="/etc/passwd"), "leaves the dataset's folder"),
        (lambda d: d["parts"][0].update(path=".."), "'..' leaves the dataset's folder"),
        (lambda d: d["parts"][0].update(read=11), "do not add up"),
        (lambda d: d["parts"][0]["funnel"][1].update(kept=4), "do not add up"),
        (lambda d: d["parts"][0]["splits"].pop("test"), "the funnel ends with 5 pairs, the shards hold 4"),
        (lambda d: d.pop("dataset"), "damaged .*dataset"),
        (lambda d: d["parts"][0].pop("read"), "damaged .*read"),
        (lambda d: d["parts"][0].update(extra=1), "damaged .*extra"),
        (lambda d: d["parts"][0].update(splits=[]), "damaged"),
        (lambda d: d["parts"][0]["funnel"][0].update(drops=[]), "damaged"),
        (lambda d: d.update(parts=None), "damaged"),
    ],
)
def test_a_tampered_manifest_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=rf"^data/x/manifest\.json: .*{message}.*; make the dataset again"):
        Manifest.from_bytes(tamper(change), folder="data/x")


def test_records_that_are_not_those_of_the_shards_are_refused():
    def move_one_pair(document):
        splits = document["parts"][0]["splits"]
        splits["train"]["records"] -= 1
        splits["test"]["records"] += 1

    with pytest.raises(ValueError, match="damaged"):
        Manifest.from_bytes(tamper(move_one_pair), folder="data/x")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"null"])
def test_what_is_no_manifest_is_refused_by_name(content):
    with pytest.raises(ValueError, match=r"^data/x/manifest\.json: "):
        Manifest.from_bytes(content, folder="data/x")


@given(st.integers(0, 50), st.lists(st.integers(0, 9), max_size=3))
def test_a_funnel_must_add_up(read, drops):
    stages, left = [], read
    for number, dropped in enumerate(drops):
        left -= dropped
        stages.append(Stage(f"stage{number}", left, {"reason": dropped}))
    splits = {"train": Split(left, 100, 16, (make_shard(SHARD_NAMES[0], left),))}
    assert make_part(read=read, funnel=tuple(stages), splits=splits).read == read
    with pytest.raises(ValueError, match=r"do not add up|the funnel ends with"):
        make_part(read=read + 1, funnel=tuple(stages), splits=splits)


@pytest.mark.parametrize("name", ["a", "a/b", "a.b", "..a", "stackexchange/islam.stackexchange.com"])
def test_names_below_the_folder_are_taken(name):
    assert is_relative_name(name)


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "..", "../a", "a/../b", "a/..", ".", "./a", "a//b", "a/", "a\\b", "a\nb"]
)
def test_names_that_may_leave_the_folder_are_not(name):
    assert not is_relative_name(name)


@pytest.fixture
def on_disk(tmp_path):
    """A dataset whose files' checksums are right."""

    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    shards = tuple(
        Shard(
            name,
            1,
            6,
            write(name, b"shard%d" % n),
            write(index_name(name), b"i%d" % n),
            write(fingerprints_name(name), b"f"),
        )
        for n, name in enumerate(SHARD_NAMES)
    )
    return make_manifest(make_part(read=2, funnel=(), splits={"train": Split(2, 12, 16, shards)}), folder=str(tmp_path))


def test_verify_has_nothing_to_say_of_a_whole_dataset(on_disk):
    assert list(verify(on_disk)) == []


@pytest.mark.parametrize("ending", [".tfrecord", ".idx", ".fp"])
def test_verify_names_exactly_the_file_with_a_flipped_byte(on_disk, tmp_path, ending):
    damaged = tmp_path / SHARD_NAMES[1].replace(".tfrecord", ending)
    content = bytearray(damaged.read_bytes())
    content[0] ^= 1
    damaged.write_bytes(content)
    (problem,) = verify(on_disk)
    assert problem.startswith(f"{damaged}: damaged")


def test_verify_names_a_missing_sidecar(on_disk, tmp_path):
    missing = tmp_path / index_name(SHARD_NAMES[0])
    missing.unlink()
    assert list(verify(on_disk)) == [f"{missing}: missing; make the dataset again"]


def test_manifests_are_found_at_any_depth(tmp_path):
    for folder in ("b/c", "a"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "manifest.json").write_bytes(b"{}")
    assert find_manifests(tmp_path) == [tmp_path / "a", tmp_path / "b/c"]
    with pytest.raises(FileNotFoundError, match="no manifest here or below"):
        find_manifests(tmp_path / "nowhere")


def test_ids_have_the_pairs_hash_of_their_texts_and_a_content_hash_of_their_own():
    texts = make_manifest()
    ids = dataclasses.replace(texts, kind="tokens", parent=texts.content_hash)
    assert ids.pairs_hash == texts.pairs_hash == texts.content_hash != ids.content_hash
    again = Manifest.from_bytes(ids.to_bytes(), folder=ids.folder)
    assert again == ids and again.parent == texts.content_hash


def test_a_manifest_from_before_there_were_ids_has_no_parent():
    manifest = Manifest.from_bytes(tamper(lambda document: document.pop("parent")), folder="data/reddit")
    assert manifest == make_manifest() and manifest.parent == ""
