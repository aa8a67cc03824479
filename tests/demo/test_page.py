"""The page in a real browser: each module typed into, clicked and read, on a laptop and on a phone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not installed")
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))

from browser import CHROMIUM, LAPTOP, PHONE, chromium, served_at, window
from corpora import topic_pairs, write_dataset, write_encoder
from playwright.sync_api import expect

from demo.forms import MOST_CHARACTERS
from demo.serve import DemoConfig, open_served, warm_up

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
]
expect.set_options(timeout=15_000)
SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("page")
    for name, seed in (("a", 1), ("b", 2)):
        write_dataset(root / "data" / name, name, {"train": topic_pairs(name, 200, seed)})
    served = open_served(DemoConfig(encoders=(str(write_encoder(root / "tiny")),), corpus=root / "data", texts=80))
    warm_up(served)
    assert served.search is not None
    served.search.vectors(served.encoder(None)).wait()
    with served_at(served) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(params=[LAPTOP, PHONE], ids=["laptop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page in which nothing may fail unseen and nothing may be wider than the window."""
    context = browser.new_context(**window(request.param))
    found = context.new_page()
    found.set_default_timeout(10_000)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield found
    assert found.evaluate("document.documentElement.scrollWidth") <= request.param[0]
    context.close()
    assert not errors


def test_similarity_sorts_what_is_typed(page: Page, address: str) -> None:
    page.goto(f"{address}/#/similarity?main=w1&text=w7+w8&text=w9")
    page.get_by_label("Main text").fill("w9")
    first = page.locator(".bars li").first
    expect(first).to_contain_text("1.000")
    expect(first).to_contain_text("w9")
    expect(page.locator(".bars li")).to_have_count(2)


def test_answers_rank_and_follow_the_question(page: Page, address: str) -> None:
    page.goto(f"{address}/#/answers?query=w1&answer=w1&answer=w5+w6")
    expect(page.locator(".bars li").first).to_contain_text("w1")
    page.get_by_label("Question").fill("w5 w6")
    expect(page.locator(".bars li").first).to_contain_text("w5 w6")
    expect(page.locator(".bars li").first).to_contain_text("(1.000)")


def test_search_finds_highlights_and_goes_on_from_a_text(page: Page, address: str) -> None:
    page.goto(f"{address}/#/search?query=w1")
    page.get_by_label("Look for").fill("w2 w3")
    expect(page.locator(".status").first).to_have_text("The 10 nearest of 80 texts.")
    expect(page).to_have_url(f"{address}/#/search?query=w2+w3")
    expect(page.locator(".hit mark").first).to_have_text(re.compile("^w[23]$"))
    third = page.locator(".hit").nth(2)
    number = third.get_attribute("data-number")
    third.get_by_role("button", name="Search from this").click()
    expect(page).to_have_url(f"{address}/#/search?number={number}")
    expect(page.locator(".hit").first).to_have_attribute("data-number", str(number))
    expect(page.locator(".hit").first).to_contain_text("1.000")
    page.go_back()
    expect(page.get_by_label("Look for")).to_have_value("w2 w3")


def test_a_point_of_the_map_is_searched_from(page: Page, address: str) -> None:
    page.goto(f"{address}/#/search?query=w2+w3")
    line = page.locator(".point")
    expect(line).to_contain_text("Point at a text")
    canvas = page.locator(".map canvas")
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    page.keyboard.press("ArrowRight")
    expect(line.locator(".number")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_contain_text("1.000")
    assert "number=" in page.url


def test_bias_tells_which_version_is_nearer_and_takes_an_occupation(page: Page, address: str) -> None:
    page.goto(f"{address}/#/bias?anchor=w1&female=w1&male=w5")
    expect(page.locator(".verdict")).to_contain_text("The female version is nearer")
    page.get_by_label("Male version", exact=True).fill("w1")
    expect(page.locator(".verdict")).to_have_text("Neither version is nearer.")
    occupation = page.locator(".plot .occupation").nth(3)
    occupation.click()
    name = occupation.get_attribute("data-occupation")
    expect(page.get_by_label("Without gender")).to_have_value(f"The {name} said they would be late.")


def test_batches_step_and_show_a_pair(page: Page, address: str) -> None:
    page.goto(f"{address}/#/batches?size=32")
    expect(page.locator(".key").first).to_contain_text("a, 16 pairs")
    before = page.locator(".chosen pre").first.inner_text()
    page.get_by_role("button", name="Next step").click()
    expect(page.get_by_label("Step", exact=True)).to_have_value("1")
    expect(page.locator(".strip button[aria-current]")).to_have_attribute("title", "step 1: a 16, b 16")
    expect(page.locator(".chosen pre").first).not_to_have_text(before)
    page.locator(".pairs tbody tr").nth(5).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".chosen .hint")).to_contain_text("row 5")
    anchor = page.locator(".pairs tbody tr").nth(5).locator("td").nth(2)
    expect(page.locator(".chosen pre").first).to_have_text(anchor.inner_text())
    page.get_by_label("Policy").select_option("v1-half")
    expect(page).to_have_url(re.compile("policy=v1-half"))
    expect(page.locator(".status")).to_have_text("")


def test_the_api_page_tries_its_routes(page: Page, address: str) -> None:
    page.goto(f"{address}/#/api")
    route = page.locator("[data-path='/api/similarity']")
    route.get_by_role("button", name="Try it").click()
    expect(route.get_by_label("Answer")).to_contain_text('"scores"')


def test_markup_that_is_typed_is_shown_as_text(page: Page, address: str) -> None:
    page.goto(f"{address}/#/similarity?main=w1&text=w2")
    page.get_by_label("Compared with").first.fill(SCRIPT)
    expect(page.locator(".bars li .text").first).to_have_text(SCRIPT)
    assert page.locator("main script, main img").count() == 0
    assert "taken" not in page.title()


def test_of_ten_megabytes_a_field_takes_what_it_may_and_the_page_goes_on(page: Page, address: str) -> None:
    page.goto(f"{address}/#/similarity?main=w1&text=w2")
    expect(page.locator(".bars li")).to_have_count(1)
    page.get_by_label("Main text").fill("w1 " * (10_000_000 // 3))
    assert len(page.get_by_label("Main text").input_value()) == MOST_CHARACTERS
    expect(page.locator(".bars li")).to_have_count(1)
    page.get_by_label("Main text").fill("w2")
    expect(page.locator(".bars li").first).to_contain_text("1.000")


def test_an_address_opens_the_state_it_was_taken_from(page: Page, address: str) -> None:
    page.goto(f"{address}/#/similarity?main=w1&text=w2")
    page.get_by_label("Main text").fill("w4 w5")
    expect(page.locator(".bars li")).to_have_count(1)
    expect(page).to_have_url(f"{address}/#/similarity?main=w4+w5&text=w2")
    expect(page.locator(".status")).to_have_text("")
    kept, score = page.url, page.locator(".bars .number").first
    other = page.context.new_page()
    other.goto(kept)
    expect(other.get_by_label("Main text")).to_have_value("w4 w5")
    expect(score).to_have_text(other.locator(".bars .number").first.inner_text())


def test_the_keyboard_alone_reaches_a_module_and_its_field(page: Page, address: str) -> None:
    page.goto(f"{address}/#/similarity?main=w1&text=w2")
    expect(page.locator(".bars li")).to_have_count(1)
    for _ in range(4):  # the skip link, the name, Similarity, Answers
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Which answer fits the question?")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("nav a[aria-current]")).to_have_text("Answers")
