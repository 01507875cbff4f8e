"""A chart that is both clicked and dragged over, and a heat map that is clicked, in a browser."""

import json

import pytest

from benchmarks import browser as chrome
from core import pools, runs
from core.domain import RunSpec

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 60_000  # far more than it takes, so that a busy machine fails no test


def imported(folder, name, n, kind="pool"):
    path = folder / f"{name}.jsonl"
    rows = [
        {"instruction": f"{name} {i}", "output": "one two " * (1 + i % 7), "source": f"s{i % 3}"}
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    pools.import_files([path], name, kind=kind)


@pytest.fixture
def url(tmp_path):
    imported(tmp_path, "toy", 60)
    imported(tmp_path, "goal", 4, "query")
    own = {"width": 32, "checkpoints": 1}
    runs.execute(RunSpec("toy", "gradient_similarity", own, model="fake", query="goal"))
    runs.execute(RunSpec("toy", "answer_divergence", {"bins": 4}, model="fake"))
    with chrome.app() as address:
        yield address


@pytest.fixture
def page():
    with chrome.browser() as opened:
        context = opened.new_context(viewport={"width": 1280, "height": 2800})
        context.set_default_timeout(WAIT_MS)
        yield context.new_page()


def middle(element):
    box = element.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def point_at(page, chart, spot):
    """Moves to spot() until a label shows: Plotly takes no click before it knows the mark."""
    chrome.settle(page)
    for step in range(WAIT_MS // 500):
        x, y = spot()
        page.mouse.move(x + step % 2, y, steps=5)
        page.wait_for_timeout(500)
        if chart.locator(".hoverlayer").text_content():
            return
    raise AssertionError("no label came under the pointer")


def click(page):
    page.mouse.down()
    page.mouse.up()


def opened_sample(page):
    return page.locator(".st-key-card").inner_text()


def wait_for_another(page, before):
    page.wait_for_function(
        "before => document.querySelector('.st-key-card').innerText !== before", arg=before
    )


def test_a_chart_is_clicked_to_open_a_sample_and_dragged_over_to_make_a_rule(url, page):
    page.goto(f"{url}/divergence")
    chart = page.locator(".st-key-divergence_spread")
    marks = chart.locator(".scatterlayer .trace").nth(0).locator(".point")  # the dropped ones
    marks.nth(5).wait_for()
    page.locator(".st-key-card").wait_for()
    before = opened_sample(page)
    point_at(page, chart, lambda: middle(marks.nth(5)))
    click(page)
    wait_for_another(page, before)
    assert "dropped" in opened_sample(page)

    chrome.settle(page)
    area = chart.locator(".nsewdrag").bounding_box()
    page.mouse.move(area["x"] + 5, area["y"] + 5)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] - 5, steps=8)
    page.mouse.up()
    page.get_by_text("≤ dispersion ≤").first.wait_for()
    page.get_by_text("≤ anisotropy ≤").first.wait_for()


def test_a_cell_of_a_heat_map_is_clicked_to_open_a_sample(url, page):
    page.goto(f"{url}/gradients")
    chart = page.locator(".st-key-gradients_coverage")
    area = chart.locator(".nsewdrag")
    area.wait_for()
    page.locator(".st-key-card").wait_for()
    seen = set()
    for across in (0.2, 0.5, 0.8):

        def cell(across=across):
            box = area.bounding_box()
            return box["x"] + across * box["width"], box["y"] + 0.1 * box["height"]

        seen.add(opened_sample(page))
        point_at(page, chart, cell)
        click(page)
        page.wait_for_timeout(3000)
        seen.add(opened_sample(page))
    assert len(seen) > 1
