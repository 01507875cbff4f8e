"""The map on a page of the app, in a real browser: with WebGL and without, the same rules."""

import json
import re

import numpy as np
import pytest
from test_store_maps import ID, row, small_map

from benchmarks import browser as chrome
from core import pools, runs, store
from core.domain import RunSpec
from core.store import maps as stored

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 60_000  # far more than it takes, so that a busy machine fails no test
N = 60


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Count to {i}", "output": f"{i} ok"} for i in range(N)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pool = pools.import_files([path], "toy")[1]
    runs.execute(RunSpec("toy", "answer_divergence", model="fake"))
    about, made = row(ID, "toy", N), small_map(N)
    with store.connect(write=True) as con:
        stored.add_map(con, about, pool.sample_ids, made)
    with chrome.app() as address:
        yield address


@pytest.mark.parametrize("kind", ["", "plain"])
def test_a_lasso_on_a_page_is_a_rule_that_can_be_undone(url, kind):
    with chrome.browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 1200})
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{url}/divergence?map={kind}")
        page.get_by_text("6 of 60 kept").wait_for()
        picture = ".st-key-divergence_plain .nsewdrag" if kind else "canvas.points"
        if not kind:
            page.locator(".map[data-drawn]").wait_for()
        page.locator(picture).scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        box = page.locator(picture).bounding_box()
        middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        if not kind:
            page.keyboard.down("Shift")
        page.mouse.move(*np.add(middle, [-80, -80]))
        page.mouse.down()
        for corner in ([80, -80], [80, 80], [-80, 80], [-80, -70]):
            page.mouse.move(*np.add(middle, corner), steps=8)
        page.mouse.up()
        if not kind:
            page.keyboard.up("Shift")
        chip = page.get_by_role("button", name=re.compile("inside lasso"))
        chip.wait_for()
        page.locator(".st-key-frame_undo button").first.click()
        chip.wait_for(state="detached")
        assert page.locator(".stException").count() == 0
