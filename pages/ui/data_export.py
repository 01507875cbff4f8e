"""Exports, as the app makes, shows and sends them."""

from pathlib import Path
from typing import Any, BinaryIO

from core import access, config, export, files, hub
from core.recipe import Recipe
from pages.ui.data import select, told


def make_files(recipe: Recipe, layout: export.Layout) -> tuple[Path, dict[str, Any]]:
    """Export into the cache; returns the folder and the manifest."""
    switches = {"scores": layout.scores, "rejected": layout.rejected, "extras": layout.extras}
    parts = [recipe.key, layout.shape, layout.file, *(k for k, on in switches.items() if on)]
    access.need("export", recipe.pool)
    folder = config.folder("exports") / "-".join(parts)
    return folder, export.export(recipe, layout, folder)


@told
def export_preview(recipe: Recipe, layout: export.Layout, rows: int) -> list[dict[str, Any]]:
    """The first records that an export would write."""
    return export.preview(select(recipe), layout, rows)


def one_file(path: Path) -> BinaryIO:
    """A file of an export, opened when somebody asks for it."""
    access.need("export", path.name)
    return path.open("rb")


def all_files(folder: Path, names: list[str]) -> BinaryIO:
    """The files of an export in one archive, made when somebody asks for it."""
    access.need("export", folder.name)
    return files.zipped(folder, names).open("rb")


def push(folder: Path, repo: str, private: bool) -> str:
    """See `hub.push`."""
    return hub.push(folder, repo, private=private)
