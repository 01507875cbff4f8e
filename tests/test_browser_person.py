"""What a curator does from end to end on the bundled demo, and two of them at once."""

import re
import shlex

import pytest
from calls import sftlens

from benchmarks import browser as chrome
from core import config, store
from core.demo import bundle
from core.replay import replay
from core.store import recipes, reviews

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 90_000  # far more than it takes, so that a busy machine fails no test


@pytest.fixture
def url():
    config.check_writable()
    bundle.load()
    with chrome.app() as address:
        yield address


@pytest.fixture(scope="module")
def opened():
    with chrome.browser() as found:
        yield found


@pytest.fixture
def visit(opened):
    """Opens a page in a browser profile of its own."""
    contexts = []

    def go(address):
        context = opened.new_context(viewport={"width": 1280, "height": 1500})
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        page.get_by_text(re.compile(r"of 160 kept")).first.wait_for()
        return page

    yield go
    for context in contexts:
        context.close()


def kept(page):
    """The words of the bar, when they stand still."""
    before = None
    while (now := page.locator(".st-key-frame_bar").inner_text()) != before:
        before = now
        page.wait_for_timeout(700)
    return " ".join(now.split()).partition(" undo icon")[0]


def to(page, title):
    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()


def chip(page, words):
    return page.locator(".st-key-frame_bar").get_by_role("button", name=re.compile(words))


def lasso_the_right_half(page):
    page.locator(".map[data-drawn]").wait_for()
    page.wait_for_timeout(1500)
    canvas = page.locator("canvas.points")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] * 0.5, box["y"] + 60  # below the tools
    right, low = box["x"] + box["width"] - 8, box["y"] + box["height"] - 8
    canvas.focus()
    page.keyboard.press("l")
    page.mouse.move(x, y)
    page.mouse.down()
    for corner in ((right, y), (right, low), (x, low), (x, y)):
        page.mouse.move(*corner, steps=8)
    page.mouse.up()
    chip(page, "inside lasso").wait_for()


def open_sample(page):
    page.get_by_text(re.compile(r"^[a-z]+ · [0-9a-f]{20}$")).first.wait_for()
    return page.get_by_text(re.compile(r"^[a-z]+ · [0-9a-f]{20}$")).first.inner_text()


def test_from_a_lasso_to_the_same_bytes_in_another_session(url, visit, tmp_path):
    page = visit(f"{url}/divergence")
    everything = kept(page)
    lasso_the_right_half(page)
    lassoed = kept(page)
    assert lassoed != everything

    to(page, "Reader")
    first = open_sample(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_text(first, exact=True).wait_for(state="detached")
    second = open_sample(page)
    assert first != second
    page.get_by_role("button", name="Drop by hand").click()
    chip(page, "1 dropped by hand").wait_for()
    page.get_by_role("button", name="undo icon").click()
    chip(page, "1 dropped by hand").wait_for(state="detached")
    assert kept(page) == lassoed
    page.get_by_role("button", name="redo icon").click()
    chip(page, "1 dropped by hand").wait_for()

    to(page, "Compare")
    rival = page.get_by_test_id("stSelectbox").filter(has_text="B is").locator("input")
    rival.wait_for()
    assert rival.input_value() == "a random draw of the same size and length"
    page.locator(".js-plotly-plot").first.wait_for()

    page.locator(".st-key-frame_bar").get_by_test_id("stPopover").first.click()
    page.get_by_label("Name", exact=True).fill("right half")
    page.get_by_role("button", name="Save the recipe").click()
    page.get_by_text("Saved as right half, version 1").wait_for()
    page.keyboard.press("Escape")

    to(page, "Export")
    page.get_by_role("button", name=re.compile("^Make the files")).click()
    page.get_by_text(re.compile("files written")).wait_for()
    command = page.get_by_test_id("stCode").filter(has_text="sftlens select").first.inner_text()
    page.wait_for_timeout(1000)

    other = visit(page.url)
    chip(other, "1 dropped by hand").wait_for()
    assert kept(other) == kept(page)
    assert kept(other) != everything
    to(other, "Reader")
    assert open_sample(other) == second

    (manifest,) = (config.cache_dir() / "exports").rglob("manifest.json")
    assert replay(manifest, tmp_path / "again").differences == ()
    words = shlex.split(" ".join(command.split()).replace("my_subset", str(tmp_path / "line")))
    done = sftlens(*words[1:])
    assert done.returncode == 0, done.stderr
    subset = manifest.with_name("subset.jsonl").read_bytes()
    assert subset
    assert (tmp_path / "line" / "subset.jsonl").read_bytes() == subset
    with store.connect() as con:
        assert len(recipes.get(con, "right half").rules) == 1


def judge(page, name, digit, verdict):
    page.get_by_role("textbox", name=re.compile("Your name")).fill(name)
    page.keyboard.press("Enter")
    page.get_by_text(f"You judge as {name}.").wait_for()
    page.locator("h1").click()  # away from the field, where a digit would be text
    page.keyboard.press(digit)
    page.get_by_text(re.compile(f"{name} {verdict}")).first.wait_for()


def test_two_people_at_once_have_their_own_recipes_and_both_verdicts_are_kept(url, visit):
    ana, bo = visit(f"{url}/reader"), visit(f"{url}/reader")
    same = kept(ana)
    assert kept(bo) == same
    ana.get_by_role("button", name="Drop by hand").click()
    chip(ana, "1 dropped by hand").wait_for()
    bo.get_by_role("button", name="Keep by hand").click()
    chip(bo, "1 kept by hand").wait_for()
    assert chip(ana, "1 kept by hand").count() == chip(bo, "1 dropped by hand").count() == 0
    judge(ana, "Ana", "3", "bad")
    judge(bo, "Bo", "1", "good")
    with store.connect() as con:
        found = reviews.reviews(con, "demo")
    assert sorted(zip(found["reviewer"], found["verdict"], strict=True)) == [
        ("Ana", "bad"),
        ("Bo", "good"),
    ]
    assert found["sample_id"].nunique() == 1
