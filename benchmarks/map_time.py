"""How long the map takes, on synthetic points: `python -m benchmarks.map_time [N]`.

Prints bytes sent, and seconds: until a map is drawn whole, until other samples are kept, until a
page has answered a lasso. One Chromium with software rendering, so leave the machine alone.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.browser import app, browser

WORDS = (
    "train, speed, hours",
    "poem, love, write",
    "python, function, list",
    "translate, french, sentence",
    "history, war, king",
    "recipe, cook, minutes",
    "sum, number, digits",
    "email, polite, reply",
    "cell, protein, biology",
    "رياضيات, درس, طالب",
    "film, scene, actor",
    "law, court, right",
)
WAIT_MS = 120_000


@dataclass(frozen=True)
class Cloud:
    """n synthetic samples: places, a score, and a group; every 1000th has no place."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    score: NDArray[np.float64]
    group: NDArray[np.int64]


def blobs(n: int, seed: int = 0) -> Cloud:
    """Islands of different shape and size, some of them touching."""
    rng = np.random.default_rng(seed)
    k = len(WORDS)
    centre = rng.normal(0, 6, (k, 2))
    shape = rng.normal(0, 0.8, (k, 2, 2))
    group = rng.choice(k, n, p=rng.dirichlet(np.full(k, 2.0)))
    place = centre[group] + np.einsum("nij,nj->ni", shape[group], rng.normal(0, 1, (n, 2)))
    place += 0.3 * rng.standard_normal((n, 2))
    score = np.sin(place[:, 0] / 3) + place[:, 1] / 8 + rng.normal(0, 0.4, n)
    place[999::1000] = np.nan
    x, y = place.astype(np.float32).T
    return Cloud(x, y, score, group)


class Wire:
    """Counts what comes over the websocket of a page."""

    def __init__(self, page: Any) -> None:
        self.received = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, frame: str | bytes) -> None:
        self.received += len(frame)


class Visit:
    """One page with the map, and a line in print for each thing that is done on it."""

    def __init__(self, opened: Any, url: str, name: str) -> None:
        self.page = opened.new_page(viewport={"width": 1280, "height": 900})
        self.page.set_default_timeout(WAIT_MS)
        self.wire = Wire(self.page)
        self.timed(name, lambda: self.page.goto(url), ".map[data-drawn]")

    def timed(self, name: str, act: Callable[[], Any], then: str) -> None:
        """Do something, and print bytes and seconds until it shows."""
        before, began = self.wire.received, time.monotonic()
        act()
        self.page.locator(then).wait_for()
        took = time.monotonic() - began
        print(f"{name:32} {took:6.2f} s {(self.wire.received - before) / 1e6:8.2f} MB")  # noqa: T201
        self.page.wait_for_timeout(2000)

    def next_picture(self) -> str:
        """The map once it is drawn anew."""
        drawn = int(self.page.locator(".map").get_attribute("data-drawn"))
        return f".map[data-drawn='{drawn + 1}']"

    def lasso(self) -> None:
        """Draw around the middle of the map."""
        box, page = self.page.locator("canvas.points").bounding_box(), self.page
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.keyboard.down("Shift")
        page.mouse.move(x - 90, y - 90)
        page.mouse.down()
        for dx, dy in ((90, -90), (90, 90), (-90, 90)):
            page.mouse.move(x + dx, y + dy, steps=8)
        page.mouse.up()
        page.keyboard.up("Shift")


def main() -> None:
    """Print a line for each thing that a person does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", nargs="?", type=int, default=1_000_000)
    n = parser.parse_args().n
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SFTLENS_CACHE"] = cache
        with app("benchmarks/map_page.py") as address, browser() as opened:
            url = f"{address}/?n={n}"
            Visit(opened, url, f"{n:,} points made, sent, drawn").page.close()
            visit = Visit(opened, url, "sent and drawn")
            thumb = visit.page.get_by_role("slider", name="Kept (%)")
            then = visit.next_picture()
            visit.timed("other samples kept, drawn", lambda: thumb.press("ArrowRight"), then)
            visit.timed("lasso drawn and answered", visit.lasso, "code:has-text('lasso')")
            hover = visit.page.locator("canvas.points").hover
            visit.timed("hover until the text is there", hover, ".tip:has-text('sample')")


if __name__ == "__main__":
    main()
