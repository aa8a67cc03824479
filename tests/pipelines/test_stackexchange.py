import gzip
import html.parser
import tracemalloc
import xml.etree.ElementTree as ElementTree  # the independent reading
from collections import Counter, defaultdict
from pathlib import Path

import py7zr
import pytest

from pipelines.funnel import BadFile
from pipelines.job import Job
from pipelines.preprocess import JobError, run
from pipelines.sources.stackexchange import ROWS, read_posts, site_of
from pipelines.sources.stackexchange_posts import StackExchangeOptions
from schemas.example import decode_pair
from schemas.manifest import Manifest
from schemas.pair import Pair, normalise
from schemas.shards import read_shard
from tests.pipelines.stackexchange_xml import TITLE, answer, question, row_xml

BY_NAME = {row.info.name: row for row in ROWS}
SAME = "stackexchange_duplicate_questions"


def link(post: int, related: int, kind=3) -> str:
    return row_xml(Id=post * 100 + related, PostId=post, RelatedPostId=related, LinkTypeId=kind)


def document(*rows: str, root="posts") -> bytes:
    # As published: a byte order mark, CRLF, two spaces before each row.
    return (
        "\ufeff" + "\r\n".join(['<?xml version="1.0" encoding="utf-8"?>', f"<{root}>", *rows, f"</{root}>"])
    ).encode()


def write_site(folder: Path, posts: list[str], links: list[str] | None = None) -> Path:
    site = folder / "tea.stackexchange.com"
    site.mkdir(parents=True)
    (site / "Posts.xml").write_bytes(document(*posts))
    if links is not None:
        (site / "PostLinks.xml").write_bytes(document(*links, root="postlinks"))
    return site / "Posts.xml"


def write_dataset(name: str, path: Path | str, output: Path, options: StackExchangeOptions | None = None) -> Manifest:
    row = BY_NAME[name] if options is None else BY_NAME[name].with_options(options)
    (manifest,) = run(Job(row, (str(path),), str(output)))
    return manifest


def read_pairs(manifest: Manifest) -> list[Pair]:
    return [decode_pair(record)[0] for at in manifest.shards("train") for record in read_shard(at.path)]


def drops(manifest: Manifest) -> dict[str, int]:
    return {reason: count for stage in manifest.parts[0].funnel for reason, count in stage.drops.items()}


def text(letter: str) -> str:
    return letter * 30


# Names of sites


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("/d/beer.stackexchange.com.7z:Posts.xml", "beer.stackexchange.com"),
        ("/d/beer.stackexchange.com.7z", "beer.stackexchange.com"),
        ("stackoverflow.com-Posts.7z:Posts.xml", "stackoverflow.com"),
        ("/d/stackoverflow.com-PostLinks.7z:PostLinks.xml", "stackoverflow.com"),
        ("/d/coffee.stackexchange.Posts.xml.gz", "coffee.stackexchange.com"),
        ("/d/mathoverflow.net-Posts.xml", "mathoverflow.net"),
        ("/d/islam.stackexchange.com/Posts.xml", "islam.stackexchange.com"),
        ("/d/islam.stackexchange.com/PostLinks.xml.bz2", "islam.stackexchange.com"),
        ("gs://bucket/islam.stackexchange.com/Posts.xml", "islam.stackexchange.com"),
        ("/d/all.tar.gz:dump/cs.stackexchange.com/Posts.xml", "cs.stackexchange.com"),
        ("/d/beer.meta.stackexchange.com.7z:Posts.xml", "beer.meta.stackexchange.com"),
    ],
)
def test_a_site_is_told_by_the_name_of_its_archive_file_or_folder(name, site):
    assert site_of(name) == site


# Bad files


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE posts [<!ENTITY a "haha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + ']><posts><row Id="1" PostTypeId="1" Score="1" Title="&i;" Body="&i;" /></posts>'
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE posts [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    '<posts><row Id="1" PostTypeId="1" Score="1" Title="t" Body="b">&x;</row></posts>'
)


@pytest.mark.parametrize(
    "content",
    [BOMB.encode(), EXTERNAL.encode(), b"", b"no xml", document(question(1))[:-4], b"<posts>\xff\xfe</posts>"],
    ids=["billion laughs", "external entity", "empty", "no xml", "cut short", "not utf-8"],
)
def test_a_file_that_is_no_whole_harmless_xml_is_bad_and_named(tmp_path, content):
    path = tmp_path / "Posts.xml"
    path.write_bytes(content)
    *_, found = read_posts(str(path), BY_NAME["stackexchange_title_body"], "d")
    assert isinstance(found, BadFile) and str(path) in found.message


def test_a_bomb_fails_the_job(tmp_path):
    path = tmp_path / "tea.stackexchange.com.Posts.xml"
    path.write_text(BOMB)
    with pytest.raises(JobError, match=r"tea\.stackexchange\.com\.Posts\.xml"):
        write_dataset("stackexchange_title_body", path, tmp_path / "out")


def test_a_gzip_cut_short_is_a_bad_file(tmp_path):
    path = tmp_path / "tea.stackexchange.com.Posts.xml.gz"
    path.write_bytes(gzip.compress(document(*map(question, range(50))))[:-20])
    *_, found = read_posts(str(path), BY_NAME["stackexchange_title_body"], "d")
    assert isinstance(found, BadFile) and "ends too early" in found.message


def test_an_archive_without_posts_is_a_bad_file(tmp_path):
    path = tmp_path / "tea.stackexchange.com.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"<users></users>", "Users.xml")
    (found,) = read_posts(str(path), BY_NAME["stackexchange_title_body"], "d")
    assert isinstance(found, BadFile) and "no Posts.xml" in found.message


def test_a_dump_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "tea.stackexchange.com.Posts.xml"
    path.write_bytes(document(*(question(n, body="x" * 8000) for n in range(4000))))
    tracemalloc.start()
    try:
        read = sum(1 for _ in read_posts(str(path), BY_NAME["stackexchange_title_body"], "d"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 4000
    assert peak < path.stat().st_size / 4


# Title and body


def test_a_question_gives_its_title_and_its_body_as_text(tmp_path):
    body = "<p>Steep at 80&#176; &amp; wait</p>\n<pre><code>t = 3\n</code></pre>"
    path = write_site(tmp_path, [question(7, body=body), answer(8, 7), row_xml(Id=9, PostTypeId=4)])
    (pair,) = read_pairs(write_dataset("stackexchange_title_body", path, tmp_path / "out"))
    assert pair == Pair(
        "stackexchange_title_body", TITLE, "Steep at 80° & wait\nt = 3", group="tea.stackexchange.com/7"
    )


def test_answers_meet_their_question_from_anywhere_in_the_file(tmp_path):
    path = write_site(tmp_path, [answer(5, 3, f"<p>{text('a')}</p>"), answer(4, 1), question(3), answer(6, 3, score=0)])
    manifest = write_dataset("stackexchange_TitleBody_Answer", path, tmp_path / "out")
    (pair,) = read_pairs(manifest)
    assert (pair.anchor, pair.positive) == (f"{TITLE}\nA body of over twenty characters.", text("a"))
    assert pair.group == "tea.stackexchange.com/3"
    assert (manifest.parts[0].read, drops(manifest)) == (2, {"missing_question": 1})


def test_sites_of_one_question_id_are_kept_apart(tmp_path):
    write_site(tmp_path / "a", [question(1, "The first site's only question"), answer(2, 1)])
    write_site(tmp_path / "b", [question(1, "The other site's only question"), answer(2, 1, score=9)])
    (tmp_path / "b/tea.stackexchange.com").rename(tmp_path / "b/rum.stackexchange.com")
    manifest = write_dataset("stackexchange_Title_Answer", tmp_path / "*/*/Posts.xml", tmp_path / "out")
    assert {pair.group for pair in read_pairs(manifest)} == {"tea.stackexchange.com/1", "rum.stackexchange.com/1"}


def test_mathematics_takes_sites_of_mathematics_alone_and_keeps_tex(tmp_path):
    body = '<p>For <span class="math-container">$a &lt; b_{1}$</span> all is well.</p>'
    for site in ("math.stackexchange.com", "tea.stackexchange.com"):
        (tmp_path / site).mkdir()
        (tmp_path / site / "Posts.xml").write_bytes(document(question(1), answer(2, 1, body)))
    manifest = write_dataset("stackexchange_math", tmp_path / "*/Posts.xml", tmp_path / "out")
    (pair,) = read_pairs(manifest)
    assert (pair.group, pair.positive) == ("math.stackexchange.com/1", "For $a < b_{1}$ all is well.")
    with pytest.raises(FileNotFoundError, match=r"of math\.stackexchange\.com"):
        BY_NAME["stackexchange_math"].find_inputs((str(tmp_path / "tea*/Posts.xml"),))


# Duplicates


@pytest.mark.parametrize(
    ("kind", "anchor", "positive"),
    [
        ("title_title", f"{TITLE} 1", f"{TITLE} 9"),
        ("body_body", "The body of question number 1", "The body of question number 9"),
        (
            "title-body_title-body",
            f"{TITLE} 1\nThe body of question number 1",
            f"{TITLE} 9\nThe body of question number 9",
        ),
    ],
)
def test_duplicates_are_the_older_question_and_the_newer_one(tmp_path, kind, anchor, positive):
    posts = [question(n, f"{TITLE} {n}", f"<p>The body of question number {n}</p>") for n in (9, 1, 5)]
    links = [link(9, 1), link(9, 5, kind=1), link(9, 44), link(5, 5), link(1, 9)]
    name = f"{SAME}_{kind}"
    manifest = write_dataset(name, write_site(tmp_path, posts, links), tmp_path / "out")
    key = "tea.stackexchange.com/1"
    assert read_pairs(manifest) == [Pair(name, anchor, positive, group=key, cluster=key)]
    assert manifest.parts[0].read == 4
    assert drops(manifest) == {"missing_question": 1, "self_link": 1, "duplicate_link": 1}


def test_only_what_a_duplicate_row_uses_is_judged(tmp_path):
    posts = [question(1, body="<p>short</p>"), question(2, f"{TITLE} 2"), question(3, "short")]
    path = write_site(tmp_path, posts, [link(1, 2), link(1, 3)])
    manifest = write_dataset(f"{SAME}_title_title", path, tmp_path / "titles")
    assert [pair.positive for pair in read_pairs(manifest)] == [f"{TITLE} 2"]
    assert drops(manifest) == {"title_too_short": 1}
    with pytest.raises(JobError, match="body_too_short 2"):
        write_dataset(f"{SAME}_body_body", path, tmp_path / "bodies")


def test_posts_without_their_links_beside_them_are_refused(tmp_path):
    path = write_site(tmp_path, [question(1)])
    with pytest.raises(FileNotFoundError, match=r"PostLinks\.xml: not there"):
        BY_NAME[f"{SAME}_title_title"].find_inputs((str(path),))


# Inputs


def test_a_glob_of_a_whole_dump_finds_the_files_of_use_alone(tmp_path):
    names = ["stackoverflow.com-Posts.7z", "stackoverflow.com-PostLinks.7z", "stackoverflow.com-Users.7z"]
    names += ["beer.stackexchange.com.7z", "Posts.xml", "PostLinks.xml", "PostHistory.xml", "readme.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"")

    def found(row: str) -> set[str]:
        return {Path(file.path).name for file in BY_NAME[row].find_inputs((str(tmp_path / "*"),))}

    whole = {"stackoverflow.com-Posts.7z", "beer.stackexchange.com.7z", "Posts.xml"}
    assert found("stackexchange_title_body") == whole
    assert found(f"{SAME}_title_title") == whole | {"stackoverflow.com-PostLinks.7z", "PostLinks.xml"}


def test_files_of_no_use_are_refused_saying_what_is_expected(tmp_path):
    (tmp_path / "Users.xml").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"expected .*Posts\.xml"):
        BY_NAME["stackexchange_title_body"].find_inputs((str(tmp_path / "*"),))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.info.name)
def test_no_input_is_refused_naming_where_to_get_it(row):
    with pytest.raises(FileNotFoundError, match=r"archive\.org"):
        row.find_inputs(())


# Real dumps, read independently with the standard library


class PlainText(html.parser.HTMLParser):
    """Text of HTML with white space folded away: enough to compare what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def letters(markup: str) -> str:
    """All of a text but its white space."""
    parser = PlainText()
    parser.feed(markup)
    parser.close()
    return "".join("".join(parser.parts).split())


@pytest.fixture(scope="module")
def beer(shared_data, tmp_path_factory):
    """(path of the archive, rows of Posts.xml, rows of PostLinks.xml)."""
    path = shared_data / "stackexchange/beer.stackexchange.com.7z"
    folder = tmp_path_factory.mktemp("beer")
    with py7zr.SevenZipFile(path) as archive:
        archive.extract(folder, targets=["Posts.xml", "PostLinks.xml"])
    return path, *(
        [row.attrib for row in ElementTree.parse(folder / name).getroot()] for name in ("Posts.xml", "PostLinks.xml")
    )


NO_BODY_BOUNDS = StackExchangeOptions(min_body_characters=None, max_body_characters=None)


def fit_questions(posts: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {
        post["Id"]: post
        for post in posts
        if post["PostTypeId"] == "1" and len(post["Title"].strip()) >= 20 and int(post["Score"]) >= 0
    }


def test_every_fit_question_of_the_beer_archive_is_there_with_its_text(beer, tmp_path):
    path, posts, _ = beer
    manifest = write_dataset("stackexchange_title_body", path, tmp_path / "out", NO_BODY_BOUNDS)
    expected = {
        (f"beer.stackexchange.com/{id_}", post["Title"].strip(), letters(post["Body"]))
        for id_, post in fit_questions(posts).items()
    }
    assert manifest.parts[0].read == 1029
    assert {(p.group, p.anchor, "".join(p.positive.split())) for p in read_pairs(manifest)} == expected


def test_every_question_of_the_beer_archive_is_in_the_xml_dataset(beer, tmp_path):
    path, posts, _ = beer
    manifest = write_dataset("stackexchange_xml", path, tmp_path / "out")
    assert Counter(post["PostTypeId"] for post in posts)["1"] == 1029
    assert len(read_pairs(manifest)) == 1029


def test_each_fit_question_of_the_beer_archive_has_its_best_voted_answer(beer, tmp_path):
    path, posts, _ = beer
    answers = defaultdict(list)
    for post in posts:
        if post["PostTypeId"] == "2":
            answers[post["ParentId"]].append((-int(post["Score"]), int(post["Id"]), post["Body"]))
    assert sum(map(len, answers.values())) == 2277
    expected = {}
    for id_, post in fit_questions(posts).items():
        if fit := [found for found in answers[id_] if found[0] <= 0]:
            expected[f"beer.stackexchange.com/{id_}"] = (post["Title"].strip(), letters(min(fit)[2]))
    manifest = write_dataset("stackexchange_Title_Answer", path, tmp_path / "out", NO_BODY_BOUNDS)
    found = {pair.group: (pair.anchor, "".join(pair.positive.split())) for pair in read_pairs(manifest)}
    assert found == expected


def test_the_triplets_of_the_beer_archive_have_a_down_voted_or_distant_answer(beer, tmp_path):
    path, posts, _ = beer
    scores = defaultdict(list)
    for post in posts:
        if post["PostTypeId"] == "2":
            scores[post["ParentId"]].append(int(post["Score"]))
    expected = {
        f"beer.stackexchange.com/{id_}"
        for id_ in fit_questions(posts)
        if scores[id_]
        and max(scores[id_]) >= 0
        and (min(scores[id_]) < 0 or max(scores[id_]) - min(scores[id_]) >= 100)
    }
    name = "stackexchange_titlebody_best_and_down_voted_answer"
    pairs = read_pairs(write_dataset(name, path, tmp_path / "out", NO_BODY_BOUNDS))
    assert {pair.group for pair in pairs} == expected
    assert all(len(pair.negatives) == 1 for pair in pairs)


def test_the_duplicates_of_the_beer_archive_are_its_links_of_kind_3(beer, tmp_path):
    path, posts, links = beer
    questions = fit_questions(posts)
    duplicates = [row for row in links if row["LinkTypeId"] == "3"]
    expected = set()
    for row in duplicates:
        ends = sorted((row["PostId"], row["RelatedPostId"]), key=int)
        if all(end in questions for end in ends):
            expected.add(tuple(questions[end]["Title"].strip() for end in ends))
    manifest = write_dataset(f"{SAME}_title_title", path, tmp_path / "out")
    assert manifest.parts[0].read == len(duplicates)
    assert {(pair.anchor, pair.positive) for pair in read_pairs(manifest)} == expected
    assert len(expected) > 10


def test_posts_of_coffee_alone_give_its_questions(shared_data, tmp_path):
    path = shared_data / "stackexchange/coffee.stackexchange.Posts.xml.gz"
    posts = [row.attrib for row in ElementTree.fromstring(gzip.decompress(path.read_bytes()))]
    assert len(posts) == 592
    manifest = write_dataset("stackexchange_title_body", path, tmp_path / "out", NO_BODY_BOUNDS)
    questions = fit_questions(posts)
    assert manifest.parts[0].read == Counter(post["PostTypeId"] for post in posts)["1"]
    assert {pair.group for pair in read_pairs(manifest)} == {f"coffee.stackexchange.com/{id_}" for id_ in questions}
    assert {normalise(p.anchor) for p in read_pairs(manifest)} == {normalise(q["Title"]) for q in questions.values()}
