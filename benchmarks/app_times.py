"""How long the app lets a person wait, in Chromium with software rendering, on a given store.

    python -m benchmarks.app_times CACHE [--pool NAME] [--page Entropy] [--moves 25]

Text: from the address to heading and counts, in a browser that was never there, for the first time
since the server started and again. Switch: a click in the navigation. Threshold: one key on the
Entropy page's slider to new counts. Map: from the address to all points drawn; a lasso from letting
go to the new counts over the list. Memory: of the app's processes, after all pages. Measure on a
quiet machine; a target is for two cores.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import psutil

from benchmarks.browser import BLANK, browser, settle
from core import app_server, config, store
from core.store import views
from pages.ui.navigation import ENTRIES, Entry

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_MS = 60_000
TEXT_S, SWITCH_S, MAP_S, LASSO_S, MEMORY_GB = 2.0, 1.0, 4.0, 1.0, 1.5
LARGE = 100_000  # samples, from which on a threshold may take longer
THRESHOLD_S = {False: 0.3, True: 0.8}
NO_BAR = ("Runs",)  # pages that show no recipe
MAPS = ("Divergence", "Gradient map")
TEXT = """([title, bar]) =>
  [...document.querySelectorAll('h1')].some(h => h.innerText.trim() === title)
  && (!bar || /kept \\(/.test(document.querySelector('.st-key-frame_bar')?.innerText ?? ''))"""
COUNTS = """[...document.querySelectorAll(`.st-key-frame_bar, [data-testid="stCaptionContainer"],
  [data-testid="stButtonGroup"], [data-testid="stMetric"]`)].map(e => e.innerText).join('|')"""


@dataclass
class Report:
    """Rows of the table, and what went wrong on the way."""

    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)  # requests that left the machine
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, measured: float, target: float, unit: str = "s") -> None:
        """One figure that may not exceed its target."""
        shown = f"{measured:.2f} {unit}" if unit else f"{measured:.0f}"
        limit = f"<= {target:g} {unit}".strip()
        self.rows.append((what, shown, limit, measured <= target))
        click.echo(f"  {what}: {shown}")

    def table(self) -> str:
        """As Markdown."""
        lines = ["| what | measured | target | met |", "|---|---|---|---|"]
        lines += [f"| {a} | {b} | {c} | {'yes' if met else 'NO'} |" for a, b, c, met in self.rows]
        return "\n".join(lines)


@click.command(help=__doc__)
@click.argument("cache", type=click.Path(path_type=Path, exists=True))
@click.option("--pool", default="", help="The pool that is looked at; the largest by default.")
@click.option("--page", "pages", multiple=True, default=[e.title for e in ENTRIES])
@click.option("--moves", default=25, show_default=True, help="Keys on the slider.")
def main(cache: Path, pool: str, pages: tuple[str, ...], moves: int) -> None:
    """Measure; see the module."""
    from playwright import sync_api

    os.environ["SFTLENS_CACHE"] = str(cache)
    n, pool = size(pool)
    report = Report()
    server = app_server.start(8790)
    try:
        with browser() as opened:
            visit(opened, server.url, [e for e in ENTRIES if e.title in pages], report)
            if "Entropy" in pages:
                with session(opened, server.url, report) as page:
                    threshold(page, server.url, n, moves, report)
            for entry in (e for e in ENTRIES if e.title in MAPS and e.title in pages):
                with session(opened, server.url, report) as page:
                    try:
                        on_map(page, server.url, entry, report)
                    except sync_api.TimeoutError:
                        report.faults.append(f"{entry.title}: no map was drawn, or no rule made")
        report.add("memory of the app", memory_gb(server.process.pid), MEMORY_GB, "GB")
    finally:
        server.process.terminate()
        server.process.wait()
    report.add("requests that leave the machine", len(report.outside), 0, "")
    report.add("exceptions, failed charts, blank panels", len(report.faults), 0, "")
    click.echo(f"\n{pool}: {n:,} samples\n\n{report.table()}")
    for line in [*sorted(report.outside), *report.faults]:
        click.echo(line)


def size(pool: str) -> tuple[int, str]:
    """Samples of the pool that is looked at, and its name."""
    with store.connect(path=config.store_path()) as con:
        frame = views.pools(con)
    frame = frame[(frame["kind"] == "pool") & frame["pool"].str.contains(pool or "", regex=False)]
    if frame.empty:
        raise click.UsageError("there is no such pool in this store")
    first = frame.sort_values("n", ascending=False).iloc[0]
    return int(first["n"]), str(first["pool"])


def address(url: str, entry: Entry) -> str:
    """Where a page is."""
    return f"{url}/{'' if entry.script == 'app.py' else Path(entry.script).stem}"


@contextmanager
def session(opened: "Browser", url: str, report: Report) -> "Iterator[Page]":
    """A person who was never here, and a note of everything that must not happen."""
    context = opened.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    local = (url, url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(local) else report.outside.add(r.url))
    page.on("pageerror", lambda error: report.faults.append(f"{page.url}: {error}"))
    yield page
    context.close()


def visit(opened: "Browser", url: str, entries: list[Entry], report: Report) -> None:
    """Each page twice by its address, and once by a click."""
    for again in ("", ", again"):
        for entry in entries:
            with session(opened, url, report) as page:
                took = timed(lambda page=page, entry=entry: go(page, url, entry))
                report.add(f"text of {entry.title}{again}", took, TEXT_S)
                look(page, entry, report)
    with session(opened, url, report) as page:
        go(page, url, ENTRIES[0])
        settle(page)
        for entry in (e for e in entries if e is not ENTRIES[0]):
            link = page.get_by_test_id("stSidebar").get_by_role(
                "link", name=entry.title, exact=True
            )
            took = timed(lambda link=link, entry=entry: (link.click(), text(page, entry)))
            report.add(f"switch to {entry.title}", took, SWITCH_S)
            settle(page)


def timed(act: Any) -> float:
    """Seconds that an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def go(page: "Page", url: str, entry: Entry) -> None:
    """Open a page by its address and wait for its text."""
    page.goto(address(url, entry), wait_until="commit")
    text(page, entry)


def text(page: "Page", entry: Entry) -> None:
    """Wait for the heading, and for the counts where the page has them."""
    page.wait_for_function(TEXT, arg=[entry.title, entry.title not in NO_BAR], polling="raf")


def look(page: "Page", entry: Entry, report: Report) -> None:
    """Note exceptions, charts that failed, and panels where nothing is."""
    settle(page)
    found = {
        "exceptions": page.locator(".stException").count(),
        "failed charts": page.get_by_text("could not be drawn").count(),
        "blank panels": page.evaluate(BLANK),
    }
    report.faults += [f"{entry.title}: {k} {what}" for what, k in found.items() if k]


def threshold(page: "Page", url: str, n: int, moves: int, report: Report) -> None:
    """One key on the first slider of the Entropy page, many times."""
    go(page, url, next(e for e in ENTRIES if e.title == "Entropy"))
    settle(page)
    thumb, took = page.get_by_role("slider").first, []
    thumb.focus()
    for _ in range(moves):
        before = page.evaluate(COUNTS)
        began = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"before => {COUNTS} !== before", arg=before, polling="raf")
        took.append(time.perf_counter() - began)
        settle(page)
    limit = THRESHOLD_S[n >= LARGE]
    report.add(f"threshold to new counts, p50 of {moves}", float(np.quantile(took, 0.5)), limit)
    report.add(f"threshold to new counts, p95 of {moves}", float(np.quantile(took, 0.95)), limit)


def on_map(page: "Page", url: str, entry: Entry, report: Report) -> None:
    """All points drawn, and a lasso around the middle of the map."""

    def drawn() -> None:
        page.goto(address(url, entry), wait_until="commit")
        page.locator(".map[data-drawn]").first.wait_for(state="attached")
        page.locator(".map .veil").first.wait_for(state="hidden")

    report.add(f"map of {entry.title} drawn", timed(drawn), MAP_S)
    settle(page)
    canvas = page.locator("canvas.points").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box() or {}
    turn = np.linspace(0, 2 * np.pi, 12)
    radius = box["height"] / 5
    corners = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius
    corners += [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    before = page.evaluate(COUNTS)
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=3)
    began = time.perf_counter()
    page.mouse.up()
    page.wait_for_function(f"before => {COUNTS} !== before", arg=before, polling="raf")
    report.add(f"lasso on {entry.title} to the list", time.perf_counter() - began, LASSO_S)
    page.keyboard.up("Shift")
    if not re.search("lasso", page.locator(".st-key-frame_bar").inner_text()):
        report.faults.append(f"{entry.title}: the lasso made no rule")


def memory_gb(pid: int) -> float:
    """Resident memory of a process and its children."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(p.memory_info().rss for p in family) / 2**30)


if __name__ == "__main__":
    main()
