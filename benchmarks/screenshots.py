"""A picture of every page, in both themes and at the widths people use.

    python -m benchmarks.screenshots FOLDER [--width 1280] [--height 1400] [--page Entropy]

Shows what is in the store (see SFTLENS_CACHE), so run `sftlens demo --no-app` before.
"""

from pathlib import Path

import click

from benchmarks.browser import app, browser
from pages.ui.navigation import ENTRIES

SETTLED_MS = 3500  # charts are drawn by then


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--width", "widths", multiple=True, type=int, default=(1280, 1920))
@click.option("--height", type=int, default=1400, show_default=True)
@click.option("--page", "pages", multiple=True, default=[e.title for e in ENTRIES])
def main(folder: Path, widths: tuple[int, ...], height: int, pages: tuple[str, ...]) -> None:
    """Write the pictures; see the module."""
    folder.mkdir(parents=True, exist_ok=True)
    with app() as url, browser() as opened:
        for theme in ("light", "dark"):
            for width in widths:
                context = opened.new_context(
                    viewport={"width": width, "height": height}, color_scheme=theme
                )
                page = context.new_page()
                for entry in (e for e in ENTRIES if e.title in pages):
                    name = "" if entry.script == "app.py" else Path(entry.script).stem
                    page.goto(f"{url}/{name}")
                    page.wait_for_selector("h1", timeout=60_000)
                    page.wait_for_timeout(SETTLED_MS)
                    path = folder / f"{entry.title.lower()}-{width}-{theme}.png"
                    page.screenshot(path=path)
                    click.echo(path)
                context.close()


if __name__ == "__main__":
    main()
