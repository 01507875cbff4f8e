"""A headless Chromium on the app, for browser tests and screenshots."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core import app_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE = """document.querySelector('[data-testid="stApp"]')
  ?.getAttribute('data-test-script-state') === 'notRunning'"""
BLANK = """[...document.querySelectorAll('[data-testid="stSkeleton"], .js-plotly-plot')]
  .filter(e => e.dataset.testid === 'stSkeleton' || !e.querySelector('.main-svg')).length"""


def chromium() -> str | None:
    """Where a Chromium is, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def browser() -> "Iterator[Browser]":
    """A browser of its own; every context of it is an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield opened
        finally:
            opened.close()


def _free_port() -> int:
    """A port of the system's choice: tests that run side by side must not look for the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def app(script: str = "app.py") -> Iterator[str]:
    """The app on the current cache; gives its address and ends it afterwards."""
    server = app_server.start(_free_port(), script=script)
    try:
        yield server.url
    finally:
        server.process.terminate()
        server.process.wait()


def settle(page: "Page") -> None:
    """Wait until the page is drawn, its charts too."""
    page.wait_for_function(IDLE)
    for _ in range(40):
        if not page.evaluate(BLANK):
            break
        page.wait_for_timeout(500)
    page.wait_for_timeout(300)
