"""What a person does on the map, in a real browser that draws without a graphics card."""

import json
import re

import numpy as np
import pytest

from benchmarks import browser as chrome
from benchmarks.map_time import Wire, blobs
from core import colouring, point_cloud
from core.outlines import CORNERS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chrome.chromium() is None, reason="no Chromium on this machine"),
]
WAIT_MS = 60_000  # far more than it takes, so that a busy machine fails no test
N = 2000
MANY = 50_000  # so many are drawn as one picture
MARGIN, TOOLS = 28, 24  # pixels around the whole map, and above it, as in space.js


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        with chrome.app("benchmarks/map_page.py") as address:
            yield address


@pytest.fixture(scope="module")
def opened():
    with chrome.browser() as found:
        yield found


@pytest.fixture
def page(opened):
    context = opened.new_context(viewport={"width": 1280, "height": 1000}, has_touch=True)
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


class Map:
    """The map on a page, as its points lie in the first view."""

    def __init__(self, page, url, n=N, query=""):
        self.page, self.n = page, n
        page.goto(f"{url}/?n={n}{query}")
        self.drawn()
        self.canvas = page.locator("canvas.points")
        self.canvas.scroll_into_view_if_needed()
        self.box = self.canvas.bounding_box()
        cloud = blobs(n)
        self.places = np.stack([cloud.x, cloud.y], axis=1).astype(np.float64)
        self.packed = point_cloud.pack_points(cloud.x, cloud.y)

    def drawn(self):
        """Wait until a whole picture has been drawn and none is to come."""
        pictures = -1
        while (now := int(self.root().get_attribute("data-drawn"))) != pictures:
            pictures = now
            self.page.wait_for_timeout(500)

    def root(self):
        return self.page.locator(".map[data-drawn]")

    @property
    def scale(self):
        left, bottom, right, top = self.packed.whole
        width, height = self.box["width"] - 2 * MARGIN, self.box["height"] - 2 * MARGIN - TOOLS
        return min(width / (right - left), height / (top - bottom))

    @property
    def centre(self):
        """The unit in the middle of the first view."""
        left, bottom, right, top = self.packed.whole
        return np.array([(left + right) / 2, (bottom + top) / 2 + TOOLS / 2 / self.scale])

    def pixels(self):
        """Where each sample is on the page in the first view, (n, 2)."""
        away = np.array(self.packed.to_units(self.places)) - self.centre
        return self.middle + away * [self.scale, -self.scale]

    @property
    def middle(self):
        return np.array(
            [self.box["x"] + self.box["width"] / 2, self.box["y"] + self.box["height"] / 2]
        )

    def foot(self):
        return self.page.locator(".foot").inner_text()

    def heard(self, name):
        """The newest of what the page heard by this name."""
        code = self.page.locator(f"code:has-text('\"{name}\"')")
        code.wait_for()
        return next(x for x in reversed(json.loads(code.inner_text())) if name in x)

    def drag(self, corners, key=None):
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*corner, steps=6)
        self.page.mouse.up()
        if key:
            self.page.keyboard.up(key)


def inside(point, polygon):
    """The slow way: a ray to the right crosses the outline an odd number of times."""
    (x, y), odd = point, False
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            odd = not odd
    return odd


def circle(middle, radius, corners=24):
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return (np.asarray(middle) + radius * np.stack([np.cos(turn), np.sin(turn)], 1)).tolist()


def near_edge(pixels, outline):
    """Which points are within 2 pixels of a circle's edge, where a pixel may decide."""
    middle = np.mean(outline, axis=0)
    radius = np.hypot(*(outline[0] - middle))
    return np.abs(np.hypot(*(pixels - middle).T) - radius) < 2 + radius * (1 - np.cos(np.pi / 24))


@pytest.mark.parametrize("by", ["key", "button"])
def test_a_lasso_gives_exactly_the_samples_inside(page, url, by):
    it = Map(page, url)
    pixels = it.pixels()
    placed = np.isfinite(pixels).all(axis=1)
    drawn = circle(np.nanmedian(pixels[blobs(N).group == 6], axis=0), 70)
    if by == "button":
        page.get_by_role("button", name=re.compile("Lasso")).click()
    it.drag([*drawn, drawn[0]], key="Shift" if by == "key" else None)
    heard = it.heard("lasso")
    wanted = [bool(p) and inside(at, drawn) for p, at in zip(placed, pixels, strict=True)]
    got = [bool(p) and inside(at, heard["lasso"]) for p, at in zip(placed, it.places, strict=True)]
    sure = ~near_edge(np.nan_to_num(pixels, nan=-1e9), np.array(drawn))
    assert sum(wanted) > 30
    assert (np.array(wanted) == np.array(got))[sure].all()
    assert heard["keep"] is True
    assert len(heard["lasso"]) <= CORNERS
    page.locator(".rules path.in").wait_for(state="attached")  # it stays, as the recipe's


def test_a_box_may_drop_what_is_inside(page, url):
    it = Map(page, url)
    it.canvas.focus()
    page.keyboard.press("b")
    page.keyboard.press("d")
    page.get_by_role("button", name=re.compile("Keep or drop")).get_by_text(
        "drop inside"
    ).wait_for()
    it.drag([np.subtract(it.middle, [80, 60]), np.add(it.middle, [80, 60])])
    heard = it.heard("lasso")
    assert heard["keep"] is False
    away = np.array([80, 60]) / it.scale
    low, high = it.packed.to_map([it.centre - away, it.centre + away])
    got = np.array(heard["lasso"])
    pixel = it.packed.span / it.scale
    assert np.allclose([got.min(axis=0), got.max(axis=0)], [low, high], atol=pixel)


def test_a_place_looked_at_is_kept_when_the_page_runs_again(page, url):
    it = Map(page, url)
    page.mouse.move(*np.add(it.middle, [60, -40]))
    for _ in range(4):
        page.mouse.wheel(0, -300)
    it.drawn()
    before = it.foot()
    assert re.match(r"[\d,]+ of [\d,]+ samples in view", before)
    page.get_by_role("slider", name="Kept (%)").press("ArrowRight")
    it.drawn()
    page.get_by_text("13", exact=True).wait_for()
    assert it.foot() == before
    page.keyboard.press("Tab")
    it.canvas.press("0")
    it.drawn()
    assert it.foot() != before


def test_a_click_opens_the_nearest_sample_and_a_click_beside_all_opens_none(page, url):
    it = Map(page, url)
    pixels = np.nan_to_num(it.pixels(), nan=-1e9)
    at = pixels[17] + [2, 1]
    page.mouse.click(*at)
    nearest = int(np.argmin(np.hypot(*(pixels - at).T)))
    assert it.heard("click") == {"click": nearest}
    corner = np.array([it.box["x"] + it.box["width"] - 5, it.box["y"] + it.box["height"] - 5])
    assert np.hypot(*(pixels - corner).T).min() > 12
    page.mouse.click(*corner)
    page.wait_for_timeout(800)
    assert it.heard("click") == {"click": nearest}


def test_the_map_can_be_used_by_keyboard_alone(page, url):
    it = Map(page, url)
    pixels = np.nan_to_num(it.pixels(), nan=-1e9)
    it.canvas.focus()
    assert it.canvas.get_attribute("aria-label") == "Synthetic samples"
    page.keyboard.press("Enter")
    assert it.heard("click") == {"click": int(np.argmin(np.hypot(*(pixels - it.middle).T)))}
    whole = it.foot()
    for key in ("+", "ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    it.drawn()
    assert it.foot() != whole
    page.keyboard.press("0")
    it.drawn()
    assert it.foot() == whole
    for key, name in (("l", "Lasso"), ("b", "Box"), ("v", "Move")):
        page.keyboard.press(key)
        button = page.get_by_role("button", name=re.compile(name))
        assert button.get_attribute("aria-pressed") == "true"
    page.keyboard.press("b")
    page.keyboard.press("Enter")  # all that is in view
    got = it.heard("lasso")["lasso"]
    known = [inside(at, got) for at in it.places if np.isfinite(at).all()]
    seen = int(whole.split()[0].replace(",", ""))
    assert sum(known) == seen


def test_a_focused_map_shows_it(page, url):
    Map(page, url)
    assert page.locator(".middle").evaluate("e => getComputedStyle(e).visibility") == "hidden"
    page.get_by_role("combobox").focus()
    page.keyboard.press("Tab")
    assert (
        page.evaluate("() => document.activeElement.shadowRoot.activeElement.className") == "points"
    )
    assert page.locator(".middle").evaluate("e => getComputedStyle(e).visibility") == "visible"
    shadow = page.locator(".stage").evaluate("e => getComputedStyle(e).boxShadow")
    assert shadow != "none"


def test_keeping_other_samples_sends_bits_and_no_points(page, url):
    wire = Wire(page)
    n = 100_000
    it = Map(page, url, n)
    everything = wire.received
    assert everything > 4 * n + 2 * n + n / 8
    page.get_by_role("slider", name="Kept (%)").press("ArrowRight")
    page.get_by_text("13", exact=True).wait_for()
    it.drawn()
    assert n / 8 < wire.received - everything < n / 8 + 20_000


def test_resting_on_a_point_shows_its_number_and_its_text_as_text(page, url):
    wire = Wire(page)
    it = Map(page, url)
    before = wire.received
    page.mouse.move(*it.pixels()[17])
    tip = page.locator(".tip.there")
    tip.get_by_text("What <b>sample</b>").wait_for()
    assert re.search(r"score [≥≤]? ?-?[\d.]+ · (not )?kept", tip.inner_text())
    assert wire.received - before < 20_000
    page.mouse.move(it.box["x"] + 300, 5)
    tip.wait_for(state="detached")


def test_a_handle_of_the_legend_makes_a_range(page, url):
    it = Map(page, url)
    handle = page.get_by_role("slider", name="lowest score kept")
    handle.focus()
    handle.press("PageUp")
    heard = it.heard("low")
    scores = colouring.pack_numbers(blobs(N).score)
    share = int(handle.input_value()) / 1000
    assert share > 0
    assert heard == {
        "low": pytest.approx(scores.low + share * (scores.high - scores.low)),
        "high": None,
    }


def test_the_picture_follows_the_width_of_its_place(page, url):
    it = Map(page, url)
    before = it.canvas.evaluate("e => e.width")
    page.set_viewport_size({"width": 700, "height": 900})
    it.drawn()
    after = it.canvas.evaluate("e => [e.width, e.clientWidth]")
    assert after[0] == after[1] < before


def test_two_fingers_move_closer(page, url):
    it = Map(page, url)
    whole = it.foot()
    touch = page.context.new_cdp_session(page)

    def fingers(kind, apart):
        x, y = it.middle
        points = [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 40)
    for apart in range(50, 200, 15):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    it.drawn()
    shown = it.foot()
    assert shown != whole
    assert int(shown.split()[0].replace(",", "")) < N / 2


def test_a_lost_graphics_card_comes_back(page, url):
    it = Map(page, url)
    pictures = int(it.root().get_attribute("data-drawn"))
    it.canvas.evaluate("e => (window.gl = e.getContext('webgl'))")
    page.evaluate("() => (window.lost = gl.getExtension('WEBGL_lose_context')).loseContext()")
    page.get_by_text("The map comes back by itself").wait_for()
    page.evaluate("() => lost.restoreContext()")
    page.locator(".veil").wait_for(state="hidden")
    it.drawn()
    assert int(it.root().get_attribute("data-drawn")) > pictures
    assert page.evaluate("gl.getError() || gl.isContextLost()") is False


@pytest.mark.parametrize(
    ("n", "colour", "scheme"),
    [
        (N, "score", "light"),
        (N, "nothing", "dark"),
        (MANY, "source", "light"),
        (MANY, "difference", "dark"),
    ],
)
def test_points_are_drawn_where_they_are_and_kept_ones_in_colour(opened, url, n, colour, scheme):
    context = opened.new_context(viewport={"width": 1280, "height": 1000}, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    it = Map(page, url, n, f"&colour={colour}")
    page.add_style_tag(content="body { cursor: none }")
    page.locator(".labels").evaluate("e => e.style.display = 'none'")
    picture = pixels_of(page, it.canvas.screenshot())
    at = it.pixels() - [it.box["x"], it.box["y"]]
    height, width = picture.shape[:2]
    seen = (at > 4).all(axis=1) & (at < [width - 4, height - 4]).all(axis=1)
    seen &= (at > [300, 60]).any(axis=1)  # not behind the tools
    ground = picture[height - 5, 5].astype(int)
    marked = np.abs(picture.astype(int) - ground).sum(axis=2) > 12
    columns, lines = at[seen].astype(int).T
    assert marked[lines, columns].mean() > 0.98
    near = np.zeros((height, width), bool)
    for dx in range(-12, 13):
        for dy in range(-12, 13):
            near[np.clip(lines + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)] = True
    near[:60, :300] = True
    assert not marked[4:-4, 4:-4][~near[4:-4, 4:-4]].any()
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    kept = blobs(n).score >= np.quantile(blobs(n).score, 0.88)
    columns, lines = at[seen & kept].astype(int).T
    assert (spread[lines, columns] > (8 if colour == "source" else 40)).mean() > 0.8
    assert errors == []
    context.close()


def pixels_of(page, png):
    """A picture as numbers (height, width, 3)."""
    code = page.evaluate(DECODE, png.hex())
    flat = np.frombuffer(bytes.fromhex(code["hex"]), np.uint8)
    return flat.reshape(code["height"], code["width"], 4)[:, :, :3]


DECODE = """async (hex) => {
  const bytes = new Uint8Array(hex.match(/../g).map((pair) => parseInt(pair, 16)));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0);
  const { data, width, height } = pen.getImageData(0, 0, image.width, image.height);
  return { width, height, hex: Array.from(data, (x) => x.toString(16).padStart(2, "0")).join("") };
}"""


def test_without_webgl_the_page_is_told(page, url):
    page.add_init_script(NO_WEBGL)
    page.goto(f"{url}/?n={N}")
    page.get_by_text("No WebGL here.").wait_for()
    assert page.locator("canvas.points").count() == 0


NO_WEBGL = """
const made = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : made.call(this, kind, ...more);
};"""
