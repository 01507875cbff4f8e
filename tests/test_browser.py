"""What a person does, in a real browser, on scores of the fake engine."""

import json
import re

import pytest

from benchmarks import browser as chrome
from core import pools, runs
from core.domain import RunSpec
from pages.ui.navigation import ENTRIES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 60_000  # far more than it takes, so that a busy machine fails no test


@pytest.fixture(scope="module")
def opened():
    with chrome.browser() as found:
        yield found


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "pool.jsonl"
    rows = [
        {"instruction": f"Count to {i}", "output": "one two " * (1 + i % 7), "source": f"s{i % 3}"}
        for i in range(200)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], "toy")
    runs.execute(RunSpec("toy", "differential_entropy", model="fake"))
    with chrome.app() as address:
        yield address


@pytest.fixture(params=["light", "dark"])
def page(opened, request):
    context = opened.new_context(
        viewport={"width": 1280, "height": 1400}, color_scheme=request.param
    )
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


def test_every_page_is_drawn_whole_and_asks_nobody_outside(url, page):
    outside = []
    local = (url, "data:", "blob:", url.replace("http", "ws"))
    page.on("request", lambda r: None if r.url.startswith(local) else outside.append(r.url))
    for entry in ENTRIES:
        page.goto(f"{url}/{'' if entry.script == 'app.py' else entry.script[6:-3]}")
        page.get_by_role("heading", name=entry.title, exact=True).wait_for()
        page.get_by_text(entry.question).wait_for()
        if entry.title == "Entropy":
            page.locator(".js-plotly-plot").nth(2).wait_for()
        assert page.locator(".stException").count() == 0
        assert page.get_by_text("could not be drawn").count() == 0
    assert outside == []


def test_moving_a_threshold_changes_the_counts(url, page):
    page.goto(f"{url}/entropy")
    aside = page.get_by_text(re.compile(r"\d+ of 200 samples set aside"))
    aside.wait_for()
    assert aside.inner_text() == "40 of 200 samples set aside"
    thumb = page.get_by_role("slider").first
    thumb.focus()
    for step in range(1, 11):
        thumb.press("ArrowRight")
        page.get_by_text(f"{40 + 2 * step} of 200 samples set aside").wait_for()
    page.get_by_role("button", name="trim low 0.2").wait_for()
    # what moved on one page is what the next one shows
    page.get_by_role("link", name="Recipe").click()
    page.get_by_role("button", name="trim low 0.2").wait_for()


def test_a_click_on_a_row_opens_the_sample(url, page):
    page.goto(f"{url}/recipe")
    page.get_by_text("rank 1 of 160").wait_for()
    grid = page.locator("[class*='st-key-recipe_list'] [data-testid='stDataFrame']")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 35 * 4 + 17)  # the fourth row's box
    page.get_by_text("rank 4 of 160").wait_for()
