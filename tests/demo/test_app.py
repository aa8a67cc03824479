"""The page's routes with a tiny random encoder: what they answer, and what they refuse in one line."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

from corpora import topic_pairs, write_dataset, write_encoder
from fastapi.testclient import TestClient

from demo.app import make_app
from demo.forms import MOST_BYTES
from demo.serve import DemoConfig, open_served
from trainer.encode import TextEncoder
from trainer.encoders.settings import EncoderSettings, Prompts

TEXTS = ["w1 w2 w3", "w4 w5", "w1 w2 w9"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    root = tmp_path_factory.mktemp("demo")
    for name, seed in (("a", 1), ("b", 2)):
        write_dataset(root / "data" / name, name, {"train": topic_pairs(name, 200, seed)})
    (root / "secret.txt").write_text("not for the page")
    served = open_served(DemoConfig(encoders=(str(write_encoder(root / "tiny")),), corpus=root / "data", texts=100))
    assert served.search is not None
    served.search.vectors(served.encoder(None)).wait()
    return TestClient(make_app(served), base_url="http://localhost", raise_server_exceptions=False)


def test_a_text_is_most_similar_to_itself(client: TestClient) -> None:
    found = client.post("/api/similarity", json={"main": TEXTS[0], "others": TEXTS}).json()
    scores = found["encoders"][0]["scores"]
    assert scores[0] == pytest.approx(1, abs=1e-5) and max(scores) == scores[0]


def test_likelihoods_of_answers_fall_and_sum_to_one(client: TestClient) -> None:
    ranking = client.post("/api/answers", json={"query": TEXTS[0], "answers": TEXTS}).json()["ranking"]
    chances = [one["likelihood"] for one in ranking]
    assert sum(chances) == pytest.approx(1) and chances == sorted(chances, reverse=True)
    assert ranking[0]["number"] == 0


def test_a_text_of_the_corpus_is_found_first_by_itself_or_its_number(client: TestClient) -> None:
    text = client.get("/api/text/7").json()["text"]
    for asked in ({"query": text}, {"number": 7}):
        found = client.post("/api/search", json={**asked, "hits": 3}).json()
        assert found["searched"] == 100 and len(found["hits"]) == 3
        assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
        assert "".join(piece for piece, _ in found["hits"][0]["pieces"]) == text


def test_queries_and_texts_have_their_own_prompts(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "tiny")
    plain = TextEncoder.open(folder)  # before it has prompts
    EncoderSettings(Prompts({"query": "w1 w1 ", "document": "w30 ", "any": "w7 "}, "any")).save(folder)
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    served = open_served(DemoConfig(encoders=(str(folder),), corpus=tmp_path / "corpus.txt"))
    assert served.search is not None
    served.search.vectors(served.encoder(None)).wait()
    client = TestClient(make_app(served), base_url="http://localhost", raise_server_exceptions=False)
    [query] = plain.encode(["w1 w1 w2 w9"])
    found = client.post("/api/search", json={"query": "w2 w9", "hits": 3}).json()["hits"]
    expected = plain.encode([f"w30 {text}" for text in TEXTS]) @ query
    assert [hit["score"] for hit in found] == pytest.approx(sorted(expected, reverse=True), abs=1e-5)
    answers = client.post("/api/answers", json={"query": "w2 w9", "answers": TEXTS}).json()["ranking"]
    assert {one["number"]: one["score"] for one in answers} == pytest.approx(dict(enumerate(expected)), abs=1e-5)
    scores = client.post("/api/similarity", json={"main": "w2 w9", "others": TEXTS}).json()["encoders"][0]["scores"]
    main, *others = plain.encode([f"w7 {text}" for text in ("w2 w9", *TEXTS)])
    assert scores == pytest.approx([float(main @ other) for other in others], abs=1e-5)


def test_the_map_holds_every_point_once_inside_its_bounds(client: TestClient) -> None:
    found = client.post("/api/map", json={"query": TEXTS[0], "points": 60}).json()
    assert len({point["number"] for point in found["points"]}) == 60
    assert all(abs(point[side]) <= 1 + 1e-9 for point in found["points"] for side in "xy")
    assert sum(cluster["points"] for cluster in found["clusters"]) == 60
    assert found == client.post("/api/map", json={"query": TEXTS[0], "points": 60}).json()


def test_equal_versions_are_equally_near(client: TestClient) -> None:
    found = client.post("/api/bias", json={"anchor": TEXTS[0], "female": TEXTS[1], "male": TEXTS[1]}).json()
    assert found["nearer"] == "neither" and found["difference"] == 0


def test_a_batch_has_its_rows_in_slots_and_each_text_in_a_pack(client: TestClient) -> None:
    found = client.post("/api/batch", json={"mixture": "equal weights", "step": 5, "size": 32}).json()
    assert [slot["rows"] for slot in found["slots"]] == [16, 16]
    order = [row["dataset"] for row in found["rows"]]
    assert order == sorted(order, key=order.index) and len(order) == 32
    lying = [(text["row"], text["side"]) for pack in found["packs"] for row in pack for text in row]
    assert sorted(lying) == [(row, side) for row in range(32) for side in (0, 1)]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/api/similarity", {"main": " ", "others": ["x"]}, 422, "main: there is no text"),
        ("/api/similarity", {"main": "x", "others": ["y" * 5001]}, 422, "others, number 1: longer than 5,000"),
        ("/api/similarity", {"main": "x", "others": ["y"], "encoders": ["../secret"]}, 400, "no encoder '../secret'"),
        ("/api/search", {"query": "x", "number": 1}, 400, "query or number"),
        ("/api/search", {"number": 10**6}, 400, "is not in the corpus"),
        ("/api/search", {"query": "x", "path": "/etc/passwd"}, 422, "path: is unknown"),
        ("/api/batch", {"mixture": {"datasets": [{"name": "../secret", "weight": 1}]}}, 400, "must stay below"),
        ("/api/batch", {"mixture": {"datasets": [{"name": "c", "weight": 1}]}}, 400, "none of the datasets"),
        ("/api/batch", {"mixture": "no such"}, 400, "no mixture 'no such'"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    path: str, body: dict, status: int, said: str, client: TestClient
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status and said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_huge_body_is_refused(client: TestClient) -> None:
    for content in (b"x" * 10_000_000, json.dumps({"main": "x" * MOST_BYTES, "others": ["y"]}).encode()):
        answer = client.post("/api/similarity", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and "larger than" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fsecret.txt", "/../x"]
)
def test_no_other_file_is_served(path: str, client: TestClient) -> None:
    assert client.get(path).status_code == 404


def test_other_hosts_and_origins_are_refused(client: TestClient) -> None:
    assert client.get("/api/state", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/api/state", headers={"Origin": "http://evil.example"}).status_code == 403
    assert "script-src 'self'" in client.get("/").headers["Content-Security-Policy"]


def test_two_hundred_requests_at_once_are_all_answered(client: TestClient) -> None:
    def ask(number: int) -> int:
        return client.post("/api/search", json={"query": f"w{number % 40} w1"}).status_code

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(200))) == {200}
