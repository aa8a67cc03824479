import gzip
import itertools
import json
import unicodedata
import zipfile

import pytest

from pipelines.preprocess import JobError
from pipelines.sources.captions import ROWS, aligned_captions, coco_member, flickr_member
from pipelines.sources.sets import SetOptions
from schemas.pair import Pair
from tests.pipelines.source_rows import run_row

COCO, TOKENS, ALIGNED = ROWS


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def read_gzip(path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().removesuffix("\n").split("\n")


# COCO


def coco_file(*captions) -> bytes:
    annotations = [
        {"image_id": image, "id": number, "caption": caption} for number, (image, caption) in enumerate(captions)
    ]
    images = [{"id": 1, "file_name": "1.jpg", "caption": "not an annotation"}]
    return json.dumps({"info": {"year": 2014}, "images": images, "annotations": annotations}).encode()


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"image_id": 7, "id": 1, "caption": " a dog\n"}, ("coco/7", "a dog")),
        ({"image_id": "7", "caption": "a dog"}, ("coco/7", "a dog")),
        ({"image_id": 7, "caption": " \n"}, "empty_text"),
        ({"image_id": 7, "caption": None}, "missing_field"),
        ({"image_id": None, "caption": "a dog"}, "missing_field"),
        ({"image_id": True, "caption": "a dog"}, "missing_field"),
        ({"image_id": [7], "caption": "a dog"}, "missing_field"),
        ({"image_id": 7}, "missing_field"),
        ([7, "a dog"], "not_an_object"),
        ("a dog", "not_an_object"),
        (None, "not_an_object"),
        (3, "not_an_object"),
    ],
)
def test_an_annotation_gives_its_image_and_caption_or_a_reason(annotation, expected):
    assert coco_member(annotation) == expected


def test_the_captions_of_a_coco_image_are_paired_in_one_cluster(tmp_path):
    captions = [(image, f"caption {number} of {image}") for number in range(5) for image in (1, 2)]
    path = tmp_path / "captions_train2014.json"
    path.write_bytes(coco_file(*captions, (3, "the only one"), (4, None)))
    manifest, pairs = run_row(COCO, tmp_path / "out", path)
    assert (manifest.parts[0].read, len(pairs)) == (22, 20)
    assert manifest.parts[0].funnel[1].drops == {"missing_field": 1, "set_of_one": 1}
    assert {(pair.group, pair.cluster) for pair in pairs} == {("coco/1", "coco/1"), ("coco/2", "coco/2")}
    assert all(pair.anchor[-1] == pair.positive[-1] == pair.group[-1] for pair in pairs)


def test_of_the_zip_of_annotations_only_captions_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "annotations_trainval2014.zip", "w") as archive:
        archive.writestr("annotations/captions_train2014.json", coco_file((1, "a dog"), (1, "a hound")))
        archive.writestr("annotations/captions_val2014.json", coco_file((2, "a cat"), (2, "a kitten")))
        archive.writestr("annotations/instances_train2014.json", b'{"annotations": [{"image_id": 1, "area": 2.5}]}')
        archive.writestr("__MACOSX/annotations/._captions_train2014.json", b"\0\5\x16\7")
    manifest, pairs = run_row(COCO, tmp_path / "out", tmp_path / "*.zip")
    assert sorted(pair.group for pair in pairs) == ["coco/1", "coco/2"]
    assert manifest.parts[0].read == 2


def test_coco_json_that_ends_early_fails_and_names_the_file(tmp_path):
    path = tmp_path / "captions_train2014.json"
    path.write_bytes(coco_file((1, "a dog"), (1, "a hound"))[:-9])
    with pytest.raises(JobError, match=r"captions_train2014\.json"):
        run_row(COCO, tmp_path / "out", path)


# Flickr30k


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("12.jpg#0\tTwo dogs .", ("flickr30k/12.jpg", "Two dogs .")),
        ("12.jpg#4\tTwo\tdogs ", ("flickr30k/12.jpg", "Two\tdogs")),
        ("a#b.jpg#1\tTwo dogs .", ("flickr30k/a#b.jpg", "Two dogs .")),
        ("12.jpg#0\t ", "empty_text"),
        ("12.jpg#0 Two dogs .", "not_a_caption"),
        ("12.jpg\tTwo dogs .", "not_a_caption"),
        ("#0\tTwo dogs .", "not_a_caption"),
        ("", "not_a_caption"),
    ],
)
def test_a_token_line_gives_its_image_and_caption_or_a_reason(line, expected):
    assert flickr_member(line) == expected


def test_the_token_file_may_have_a_byte_order_mark_crlf_and_bad_lines(tmp_path):
    path = tmp_path / "results_20130124.token.gz"
    lines = [b"1.jpg#0\ta dog", b"1.jpg#1\ta hound", b"2.jpg#0\t\xff", b"2.jpg#1\ta cat", b"no caption"]
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\r\n".join(lines)))
    manifest, pairs = run_row(TOKENS, tmp_path / "out", path)
    assert [sorted(pair.texts) for pair in pairs] == [["a dog", "a hound"]]
    assert pairs[0].group == "flickr30k/1.jpg"
    read, pair = manifest.parts[0].funnel[:2]
    assert (read.drops, pair.drops) == ({"not_utf8": 1}, {"not_a_caption": 1, "set_of_one": 1})


def test_aligned_captions_of_an_image_have_one_group_wherever_they_stand():
    one, other = (
        list(aligned_captions(captions, "flickr", SetOptions()))
        for captions in (("a dog", "A  Hound", "a puppy"), ("a puppy", "a dog", "A  Hound"))
    )
    assert len(one) == 3 and one == other
    assert len({(pair.group, pair.cluster) for pair in one if isinstance(pair, Pair)}) == 1
    (different,) = aligned_captions(("a dog", "a puppy"), "flickr", SetOptions())
    assert isinstance(different, Pair) and different.group not in {pair.group for pair in one if isinstance(pair, Pair)}


def test_five_files_are_asked_for():
    with pytest.raises(FileNotFoundError, match="5 --input globs"):
        ALIGNED.find_inputs((__file__,))


def write_sides(folder, sides: list[list[str]]) -> list:
    paths = [folder / f"train.{number}.en" for number in range(1, 6)]
    for path, lines in zip(paths, sides, strict=True):
        path.write_text("".join(f"{line}\n" for line in lines))
    return paths


def test_aligned_files_become_sets_line_by_line(tmp_path):
    sides = [[f"caption {side} of {image}" for image in range(2)] + ["the same"] for side in range(5)]
    manifest, pairs = run_row(ALIGNED, tmp_path / "out", *write_sides(tmp_path, sides))
    assert (manifest.parts[0].read, len(pairs)) == (21, 20)
    assert manifest.parts[0].funnel[1].drops == {"set_of_one": 1}
    assert all(pair.anchor[-1] == pair.positive[-1] for pair in pairs)


def test_a_side_with_fewer_lines_fails_the_job(tmp_path):
    sides = [["one", "two"], *[[f"uno {side}"] for side in range(4)]]
    with pytest.raises(JobError, match="more lines"):
        run_row(ALIGNED, tmp_path / "out", *write_sides(tmp_path, sides))


@pytest.mark.slow
def test_the_real_flickr30k_files_give_every_two_different_captions_of_each_image(shared_data, tmp_path):
    paths = [shared_data / f"flickr30k/train.{side}.en.gz" for side in range(1, 6)]
    sides = [read_gzip(path) for path in paths]
    expected = [
        frozenset((fold(one), fold(other)))
        for image in zip(*sides, strict=True)
        for one, other in itertools.combinations({fold(caption): caption for caption in image}.values(), 2)
    ]
    manifest, pairs = run_row(ALIGNED, tmp_path / "out", *paths)
    assert {len(side) for side in sides} == {29_000}
    assert manifest.parts[0].read == len(expected)
    assert {frozenset((fold(pair.anchor), fold(pair.positive))) for pair in pairs} == set(expected)
    assert len(pairs) >= len(set(expected))


def test_both_forms_of_the_real_flickr30k_give_the_same_pairs(shared_data, tmp_path):
    sides = [read_gzip(shared_data / f"flickr30k/train.{side}.en.gz")[:500] for side in range(1, 6)]
    paths = write_sides(tmp_path, sides)
    tokens = tmp_path / "results.token"
    lines = [f"{n}.jpg#{side}\t{line}\n" for side, lines in enumerate(sides) for n, line in enumerate(lines)]
    tokens.write_text("".join(lines))
    (_, one), (_, other) = run_row(ALIGNED, tmp_path / "one", *paths), run_row(TOKENS, tmp_path / "other", tokens)
    assert len(one) > 4_900
    assert [pair.texts for pair in one] == [pair.texts for pair in other]
