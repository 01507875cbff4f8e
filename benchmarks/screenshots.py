"""A picture of every page, in both themes, and of Reader and Story on a phone.

    python -m benchmarks.screenshots [FOLDER] [--width 1280] [--height 1400] [--page Entropy]

Shows what is in the store (see SFTLENS_CACHE), so run `sftlens demo --no-app` before. Without a
folder the pictures of the README are made anew.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from benchmarks.browser import app, browser
from core import config
from pages.ui.navigation import ENTRIES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = config.ROOT / ".github" / "screenshots"
SETTLED_MS = 6000  # charts are drawn by then
PHONE = (390, 844)
ON_A_PHONE = ("Reader", "Story")


class Shot(NamedTuple):
    """One picture: of a page, under a name, as wide and high as a screen."""

    title: str
    path: str
    name: str
    size: tuple[int, int]


def shots(titles: tuple[str, ...], width: int, height: int) -> list[Shot]:
    """What to take."""
    pages = [(e.title, "" if e.script == "app.py" else Path(e.script).stem) for e in ENTRIES]
    wanted = [(title, path) for title, path in [*pages, ("Story", "story")] if title in titles]
    name = {title: title.lower().replace(" ", "-") for title, _ in wanted}
    wide = [Shot(title, path, name[title], (width, height)) for title, path in wanted]
    return wide + [
        Shot(title, path, f"{name[title]}-phone", PHONE)
        for title, path in wanted
        if title in ON_A_PHONE
    ]


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path), default=FOLDER)
@click.option("--width", type=int, default=1280, show_default=True)
@click.option("--height", type=int, default=1400, show_default=True)
@click.option("--page", "titles", multiple=True, default=[*(e.title for e in ENTRIES), "Story"])
def main(folder: Path, width: int, height: int, titles: tuple[str, ...]) -> None:
    """Write the pictures; see the module."""
    folder.mkdir(parents=True, exist_ok=True)
    with app() as url, browser() as opened:
        for theme in ("light", "dark"):
            for shot in shots(titles, width, height):
                click.echo(_take(opened, url, theme, shot, folder))


def _take(opened: "Browser", url: str, theme: str, shot: Shot, folder: Path) -> Path:
    wide, high = shot.size
    context = opened.new_context(
        viewport={"width": wide, "height": high},
        color_scheme="dark" if theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(f"{url}/{shot.path}")
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_timeout(SETTLED_MS)
    path = folder / f"{shot.name}-{theme}.png"
    page.screenshot(path=path)
    context.close()
    return path


if __name__ == "__main__":
    main()
