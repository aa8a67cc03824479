"""The report: true figures, and a page that no text can break."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairstream.cli import UsageError
from pairstream.report import main
from pairstream.report_figures import describe, printable, sum_funnels
from pairstream.report_html import Html, bin_names, element, histogram, markup, share
from pairstream.report_sample import EXAMPLES_A_REASON, EXCERPT, Quantiles, read_rejects
from schemas.example import encode_pair
from schemas.manifest import MANIFEST_NAME, Manifest, Part, Split, Stage
from schemas.pair import Pair, fingerprint
from schemas.shards import Block, Shard, frame, open_local, shard_name, write_shard

HOSTILE = "<script>alert(\"x\")</script><img src=x onerror='y()'> & </span></details>"
VOID = {"meta"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page, which must close what it opens."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def write_records(folder: Path, split: str, shards: Sequence[Sequence[Pair]], reason: str = "") -> Split:
    """Shards of pairs, as a split of a manifest lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Shard] = []
    for number, pairs in enumerate(shards):
        frames = [frame(encode_pair(pair, fingerprint(pair), reason)) for pair in pairs]
        prints = np.array([fingerprint(pair).pair for pair in pairs], np.uint64)
        block = Block(b"".join(frames), np.array([len(framed) for framed in frames], np.uint32), prints)
        name = shard_name(split, number, len(shards))
        written.append(write_shard(str(folder), name, [block], window=16, open_file=open_local))
    return Split(sum(s.records for s in written), sum(s.bytes for s in written), 16, tuple(written))


def write_dataset(folder: Path, *parts: Part, name: str = "d", **about: str) -> Manifest:
    fields = {"tuple": "question → answer", "licence": "CC0", "citation": "us", "url": "https://example.org"} | about
    manifest = Manifest(name, parts=parts, folder=str(folder), **fields)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def part_of(splits: dict[str, Split], *stages: tuple[str, dict[str, int]], path: str = "", **fields: Any) -> Part:
    """A part whose funnel ends with what its splits hold."""
    left = sum(split.records for split in splits.values())
    read = left + sum(sum(drops.values()) for _, drops in stages)
    funnel, kept = [], read
    for stage, drops in stages:
        kept -= sum(drops.values())
        funnel.append(Stage(stage, kept, drops))
    rest = {"command": ("pairstream", "preprocess"), "options": {}, "inputs": {}, "statistics": {}} | fields
    return Part(path=path, read=read, funnel=tuple(funnel), splits=splits, **rest)


def numbered(count: int, start: int = 0) -> list[Pair]:
    return [Pair("d", f"question number {n}", f"the answer is {n}") for n in range(start, start + count)]


def figures_of(folder: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    main([str(folder), "--json", *argv])
    return json.loads(capsys.readouterr().out)["datasets"]


def page_of(folder: Path, *argv: str) -> Outline:
    main([str(folder), *argv])
    return Outline((folder / "report.html").read_text("utf-8"))


def test_counts_are_the_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_records(tmp_path, "train", [numbered(6), numbered(3, 6)])
    test = write_records(tmp_path, "test", [numbered(2, 9)])
    part = part_of({"train": train, "test": test}, ("filter", {"too_short": 7}), ("dedup", {"duplicate": 2}))
    manifest = write_dataset(tmp_path, part)
    (found,) = figures_of(tmp_path, capsys)
    assert found["content_hash"] == manifest.content_hash
    assert (found["read"], found["records"], found["shards"]) == (20, {"train": 9, "test": 2}, 3)
    assert found["bytes"] == {"train": train.bytes, "test": test.bytes}
    assert [(stage["name"], stage["kept"]) for stage in found["funnel"]] == [("filter", 13), ("dedup", 11)]
    assert found["sample"]["records"] == 11
    assert found["contamination"] is None


def test_the_page_says_what_the_figures_say(tmp_path: Path) -> None:
    split = write_records(tmp_path, "train", [numbered(11)])
    write_dataset(tmp_path, part_of({"train": split}, ("filter", {"too_short": 1_234}), ("dedup", {"duplicate": 5})))
    page = page_of(tmp_path)
    for said in ("too_short", "1,234", "98.7%", "duplicate", "question → answer", "Not checked", "question number 4"):
        assert said in page.text


def test_a_sample_takes_from_every_shard_in_proportion_to_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = (40, 0, 10, 50)
    shards = [[Pair("d", "x" * (number + 1), f"{number} {n}") for n in range(s)] for number, s in enumerate(sizes)]
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", shards)}))
    (found,) = figures_of(tmp_path, capsys, "--sample", "10")
    anchors = {text["text"]["text"]: text["count"] for text in found["sample"]["frequent"]}
    assert found["sample"]["records"] == 10
    assert anchors == {"x": 4, "xxxx": 5}  # the third shard gave one, which is no repetition


def test_a_sample_reads_no_further_than_its_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(30)])}))
    shard = tmp_path / shard_name("train", 0, 1)
    data = bytearray(shard.read_bytes())
    data[-5] ^= 1
    shard.write_bytes(data)
    assert figures_of(tmp_path, capsys, "--sample", "29")[0]["sample"]["records"] == 29
    with pytest.raises(ValueError, match=r"train-00000-of-00001\.tfrecord: record 29 is damaged"):
        main([str(tmp_path), "--sample", "30"])


def test_a_shard_with_fewer_records_than_listed_is_an_error(tmp_path: Path) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(5)])}))
    write_records(tmp_path, "train", [numbered(4)])
    with pytest.raises(ValueError, match="4 records; expected 5"):
        main([str(tmp_path)])


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=40))
def test_quantiles_are_lengths_that_occur(tmp_path_factory: pytest.TempPathFactory, lengths: list[int]) -> None:
    folder = tmp_path_factory.mktemp("lengths")
    pairs = [Pair("d", "a" * length, "b " * length) for length in lengths]
    manifest = write_dataset(folder, part_of({"train": write_records(folder, "train", [pairs])}))
    sample = describe(manifest, sample=1000, tokenizer=None, rejects={}).sample
    ordered = sorted(lengths)

    def at(hundredths: int) -> int:
        return ordered[-(-len(ordered) * hundredths // 100) - 1]

    expected = Quantiles(at(50), at(90), at(99), ordered[-1])
    assert sample.lengths["characters"].quantiles["anchor"] == expected
    assert sample.lengths["words"].quantiles["positive"] == expected
    assert set(sample.lengths) == {"characters", "words"}
    assert sum(sample.lengths["words"].histogram.counts["positive"]) == len(lengths)


def test_tokens_are_counted_with_a_tokenizer_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(2)
    (tmp_path / "encoder").mkdir()
    tokenizer.save(str(tmp_path / "encoder" / "tokenizer.json"))
    data = tmp_path / "data"
    write_dataset(data, part_of({"train": write_records(data, "train", [numbered(4)])}))
    for path in ("encoder", "encoder/tokenizer.json"):
        (found,) = figures_of(data, capsys, "--tokenizer", str(tmp_path / path))
        assert found["sample"]["lengths"]["tokens"] == found["sample"]["lengths"]["words"]
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json not found"):
        main([str(data), "--tokenizer", str(tmp_path)])


def test_texts_that_differ_in_case_or_white_space_are_one_frequent_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["Thank  you", "thank you", "THANK\nYOU "]
    pairs = [Pair("d", f"unique {n}", text) for n, text in enumerate(texts)]
    pairs.append(Pair("d", "Thank you", "no", ("never",)))
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [pairs])}))
    (frequent,) = figures_of(tmp_path, capsys)[0]["sample"]["frequent"]
    assert (frequent["count"], frequent["roles"]) == (4, {"positive": 3, "anchor": 1})
    assert frequent["text"]["text"] == "Thank you"


def test_scripts_are_told_by_letters_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [Pair("d", "Ab 12 !? é", "Да 漢字かな カ ｱ Ａ عربي")]
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [pairs])}))
    expected = {"Latin": 4, "Arabic": 4, "Cyrillic": 2, "Han": 2, "Hiragana": 2, "Katakana": 2}
    assert figures_of(tmp_path, capsys)[0]["sample"]["scripts"] == expected


def test_hits_are_counted_for_every_set_that_a_reason_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = write_records(tmp_path, "train", [numbered(3)])
    stage = ("decontaminate", {"STS": 5, "STS+quora": 2, "quora": 1})
    options = {"eval_texts": ["sts.tsv", "quora"]}
    write_dataset(tmp_path, part_of({"train": split}, stage, options=options))
    found = figures_of(tmp_path, capsys)[0]["contamination"]
    assert found == {"parts": 1, "dropped": 8, "hits": {"STS": 7, "quora": 3}, "eval_texts": [["sts.tsv", "quora"]]}
    page = page_of(tmp_path)
    assert "8 pairs were dropped" in page.text
    assert "Not checked" not in page.text


@pytest.mark.parametrize(("options", "checked"), [({"eval_texts": []}, False), ({"eval_texts": ["sts"]}, True)])
def test_a_stage_that_had_nothing_to_look_for_checked_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], checked: bool
) -> None:
    split = write_records(tmp_path, "train", [numbered(3)])
    write_dataset(tmp_path, part_of({"train": split}, ("decontaminate", {}), options=options))
    assert (figures_of(tmp_path, capsys)[0]["contamination"] is not None) == checked


def test_the_thirty_most_frequent_origins_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    counts = {f"sub{n:02}": 100 - n for n in range(40)} | {"": 500}
    split = write_records(tmp_path, "train", [numbered(3)])
    write_dataset(tmp_path, part_of({"train": split}, statistics={"origins": {"subreddit": counts}}))
    text = page_of(tmp_path).text
    assert "sub29" in text
    assert "sub30" not in text
    others = 500 + sum(100 - n for n in range(30, 40))
    assert f"all others{others:,}{share(others, sum(counts.values()))}" in text


def test_parts_are_summed_and_shown_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = {"edges": [0, 10], "train": {"anchor": [1, 2], "positive": [3, 0]}}
    first = write_records(tmp_path, "train", [numbered(3)])
    second = write_records(tmp_path / "part-1", "train", [numbered(3, 3)])
    stages = ("filter", {"too_short": 4}), ("dedup", {"duplicate": 1})
    later = ("filter", {"too_short": 1, "too_long": 2}), ("decontaminate", {"STS": 6}), ("dedup", {"in_older_part": 9})
    statistics = {"characters": lengths}
    write_dataset(
        tmp_path,
        part_of({"train": first}, *stages, statistics=statistics),
        part_of({"train": second}, *later, path="part-1", statistics=statistics),
    )
    (found,) = figures_of(tmp_path, capsys)
    assert [(stage["name"], stage["kept"], stage["drops"]) for stage in found["funnel"]] == [
        ("filter", 22, {"too_short": 5, "too_long": 2}),
        ("decontaminate", 16, {"STS": 6}),
        ("dedup", 6, {"duplicate": 1, "in_older_part": 9}),
    ]
    assert found["characters"]["counts"] == {"anchor": [2, 4], "positive": [6, 0]}
    assert found["contamination"]["parts"] == 1
    page = page_of(tmp_path)
    assert "each of the 2 parts" in page.text
    assert "part-1" in page.text


def test_lengths_in_different_bins_are_not_added() -> None:
    parts = [
        part_of({}, statistics={}),
        part_of({"train": Split(0, 0, 16, ())}, statistics={"characters": {"edges": [0, 8], "train": {}}}),
        part_of({"train": Split(0, 0, 16, ())}, statistics={"characters": {"edges": [0, 9], "train": {}}}),
    ]

    def characters(*chosen: Part) -> Any:
        manifest = Manifest("d", "", "", "", "", chosen)
        return describe(manifest, sample=1, tokenizer=None, rejects={}).characters

    assert characters(*parts[:2]) is not None
    assert characters(*parts) is None


@given(
    st.lists(
        st.lists(st.sampled_from(["read", "pair", "filter", "decontaminate", "dedup", "split"]), unique=True).map(
            sorted
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_summed_funnel_adds_up(stages: list[list[str]]) -> None:
    splits = {"train": Split(0, 0, 16, ())}
    parts = [part_of(splits, *((name, {"why": place + 1}) for place, name in enumerate(names))) for names in stages]
    funnel = sum_funnels(parts)
    # The class refuses a funnel that does not add up.
    Part("", (), {}, {}, sum(part.read for part in parts), funnel, splits, {})
    assert {stage.name for stage in funnel} == {name for names in stages for name in names}


def test_examples_of_drops_come_from_the_manifest_and_from_rejects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, rejects = tmp_path / "data", tmp_path / "data" / "rejects"
    kept_in_manifest = {"filter": {"too_short": [{"anchor": "hm", "positive": "yes", "negatives": ["no", "nay"]}]}}
    split = write_records(data, "train", [numbered(3)])
    write_dataset(
        data, part_of({"train": split}, ("filter", {"too_short": 1}), statistics={"samples": kept_in_manifest})
    )
    rejected = write_records(rejects, "train", [numbered(9, 100), numbered(9, 200)], reason="filter/too_long")
    write_dataset(rejects, part_of({"train": rejected}))
    (found,) = figures_of(data, capsys, "--rejects", str(rejects))
    assert set(found["dropped"]["filter"]) == {"too_short", "too_long"}
    (short,) = found["dropped"]["filter"]["too_short"]
    assert [(text["role"], text["text"]) for text in short][2:] == [("negatives", "no"), ("negatives", "nay")]
    assert len(found["dropped"]["filter"]["too_long"]) == EXAMPLES_A_REASON
    assert "question number 100" in page_of(data, "--rejects", str(rejects)).text


def test_rejects_must_say_why(tmp_path: Path) -> None:
    write_records(tmp_path, "train", [numbered(3)])
    with pytest.raises(ValueError, match=r"record 0 has no reason"):
        read_rejects(tmp_path, 10)
    with pytest.raises(FileNotFoundError, match="no shards here or below"):
        read_rejects(tmp_path / "nothing", 10)


def test_no_text_breaks_the_page(tmp_path: Path) -> None:
    odd = "\x00\x07\u202e\ufffe\U0010ffff\x85"
    pair = Pair("d", HOSTILE + odd, HOSTILE * 20, (HOSTILE,), contexts=(HOSTILE,))
    split = write_records(tmp_path, "train", [[pair, pair]])
    samples = {HOSTILE: {HOSTILE: [{HOSTILE: HOSTILE}]}}
    part = part_of(
        {"train": split},
        ("dedup", {HOSTILE: 3}),
        ("decontaminate", {HOSTILE: 3}),
        command=(HOSTILE,),
        options={HOSTILE: HOSTILE, "eval_texts": [HOSTILE]},
        inputs={"files": 1, "bytes": 2, "bad": [HOSTILE], HOSTILE: {HOSTILE: 1}},
        statistics={"samples": samples, "origins": {HOSTILE: {HOSTILE: 4}}},
    )
    about = dict.fromkeys(("tuple", "licence", "citation"), HOSTILE)
    write_dataset(tmp_path, part, name=HOSTILE, url="javascript:alert(1)", **about)
    page = page_of(tmp_path)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) > 20
    assert "javascript:" not in str(page.tags)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", (tmp_path / "report.html").read_text("utf-8"))


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_markup_keeps_texts_as_texts(text: str, value: str) -> None:
    made = element("p", text, title=value)
    made.encode("utf-8")
    outline = Outline(made)
    assert [tag for tag, _ in outline.tags] == ["p"]
    assert set(outline.tags[0][1]) == {"title"}
    assert markup(made) is made


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(3)])}))
    page = page_of(tmp_path)
    assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if {"src", "srcset", "style"} & set(attributes)]
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "@import" not in page.text
    assert "url(" not in page.text
    plots = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert plots
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in plots)


def test_a_long_text_is_folded_and_a_very_long_one_is_cut(tmp_path: Path) -> None:
    pair = Pair("d", "start " + "word " * 200 + "finish", "b" * (EXCERPT + 5_000))
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [[pair]])}))
    page = page_of(tmp_path)
    assert "finish" in page.text
    assert "(1,012 characters)" in page.text
    assert "5,000 more characters" in page.text
    assert "b" * (EXCERPT + 1) not in page.text


def test_the_page_is_the_same_every_time_and_replaced_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(60)])}))
    page = page_of(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    main([str(tmp_path)])
    assert (tmp_path / "report.html").read_bytes() == before
    assert f"{tmp_path / 'report.html'}: " in (said := capsys.readouterr().out)
    assert "next: " in said
    assert not list(tmp_path.glob("*.tmp"))
    assert page.text.count("question number") == 8


def test_an_output_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(3)])}))
    before = sorted(tmp_path.iterdir())
    for output in (tmp_path / "absent" / "report.html", tmp_path / MANIFEST_NAME / "report.html", tmp_path):
        with pytest.raises(OSError, match="cannot be written"):
            main([str(tmp_path), "--output", str(output)])
    assert sorted(tmp_path.iterdir()) == before


def test_every_dataset_below_is_on_the_page(tmp_path: Path) -> None:
    for name in ("b", "a"):
        folder = tmp_path / name
        write_dataset(folder, part_of({"train": write_records(folder, "train", [numbered(3)])}), name=name)
    page = page_of(tmp_path)
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert [f"#{section}" for section in sections] == [link for link in links if link and link.startswith("#")]
    assert len(sections) == 2


def test_an_empty_dataset_has_a_page(tmp_path: Path) -> None:
    write_dataset(tmp_path, part_of({}, ("filter", {"too_short": 5})))
    assert "No texts were read" in page_of(tmp_path).text


@pytest.mark.parametrize(
    "statistics",
    [
        {"characters": {"edges": [0, 8]}},
        {"characters": {"edges": [0, 8], "train": {"anchor": [1]}}},
        {"characters": {"edges": [8, 0], "train": {"anchor": [1, 2]}}},
        {"origins": {"subreddit": {"a": "many"}}},
        {"samples": {"filter": ["short"]}},
    ],
)
def test_damaged_statistics_are_named(tmp_path: Path, statistics: dict[str, Any]) -> None:
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(3)])}, statistics=statistics))
    with pytest.raises(ValueError, match="statistics are damaged"):
        main([str(tmp_path)])


def test_rejects_are_not_one_more_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rejects = tmp_path / "rejects"
    write_dataset(tmp_path, part_of({"train": write_records(tmp_path, "train", [numbered(3)])}))
    write_dataset(rejects, part_of({"train": write_records(rejects, "train", [numbered(3)], "filter/short")}))
    assert len(figures_of(tmp_path, capsys)) == 2
    assert len(figures_of(tmp_path, capsys, "--rejects", str(rejects))) == 1
    with pytest.raises(ValueError, match="nothing but rejects"):
        main([str(rejects), "--rejects", str(rejects)])


def test_wrong_calls_are_told_from_failures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no manifest here or below"):
        main([str(tmp_path)])
    for argv in (["--sample", "0"], ["--sample", "many"], ["--json", "--output", "x.html"]):
        with pytest.raises(UsageError):
            main([str(tmp_path), *argv])


def test_bars_of_a_histogram_are_as_high_as_their_shares() -> None:
    plot = Outline(histogram((0, 8, 16), {"a": (5, 0, 15), "b": (0, 0, 2)}, title="t", unit="words"))
    heights = [a["height"] for tag, a in plot.tags if tag == "rect"]
    assert heights == ["25.000%", "0.000%", "75.000%", "0.000%", "0.000%", "100.000%"]
    assert "a, 16 or more words: 15 (75.0%)" in plot.text
    assert bin_names((0, 1, 8)) == ["0", "1–7", "8 or more"]


def test_a_path_of_any_bytes_is_printable() -> None:
    assert printable(os.fsdecode(b"caf\xc3\xa9/\xff")) == "café/\ufffd"


def test_shares_are_never_nothing_for_something() -> None:
    assert [share(1, 10**9), share(5, 1000), share(1, 8), share(0, 8), share(0, 0)] == [
        "< 0.01%",
        "0.50%",
        "12.5%",
        "0%",
        "–",
    ]
    assert isinstance(element("p", "x"), Html)
