"""Recipes by name. A name has versions; saving adds one, and so does restoring an old one."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core import access
from core.errors import BudgetError
from core.recipe import Recipe
from core.store import Connection, journal

if TYPE_CHECKING:
    import pandas as pd

MOST_CHARS = 80  # of a name
COLUMNS = "name, version, recipe_key, note, author, created_at"
TOLD = ("name", "version", "pool", "recipe_key", "recipe", "note", "author", "created_at")


def save(con: Connection, name: str, recipe: Recipe, note: str = "", author: str = "") -> int:
    """Add a version of a recipe; returns its number. What the newest says already is not added.

    Raises:
        AccessError: who acts may not save, or is not the author.
        BudgetError: the name is empty, too long, or has characters that a command line splits.
    """
    access.need_as(author, "recipe", f"{recipe.pool} {name}")
    name = name.strip()
    if not name or len(name) > MOST_CHARS or not name.isprintable() or "@" in name:
        do = f"Use 1 to {MOST_CHARS} characters without @."
        raise BudgetError("recipe name", "cannot be used", got=name, do=do)
    newest = con.execute(
        "SELECT version, recipe_key, note FROM recipes WHERE name = ?"
        " ORDER BY version DESC LIMIT 1",
        [name],
    ).fetchone()
    if newest and newest[1:] == (recipe.key, note):
        return int(newest[0])
    version = 1 + (int(newest[0]) if newest else 0)
    text = json.dumps(recipe.plain(), sort_keys=True, ensure_ascii=False)
    con.execute(
        "INSERT INTO recipes VALUES (?, ?, ?, ?, ?, ?, ?, now())",
        [name, version, recipe.pool, recipe.key, text, note, author],
    )
    [row] = rows(con, name, version)
    journal.add(con, "recipe", row)
    return version


def rows(
    con: Connection, name: str | None = None, version: int | None = None, skip: int = 0
) -> Iterator[Any]:
    """All rows as plain values, oldest first, but the first few; or one version of a name."""
    found = con.execute(
        "SELECT name, version, pool, recipe_key, recipe, note, author, created_at::VARCHAR"
        " FROM recipes WHERE coalesce(name = ?, true) AND coalesce(version = ?, true)"
        " ORDER BY rowid OFFSET ?",
        [name, version, skip],
    ).fetchall()
    return (dict(zip(TOLD, row, strict=True)) for row in found)


def restore(con: Connection, row: Mapping[str, Any]) -> None:
    """Put a row back as `rows` gave it."""
    con.execute("INSERT INTO recipes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [row[k] for k in TOLD])


def saved(con: Connection, pool: str) -> "pd.DataFrame":
    """The newest version of each recipe of a pool, newest first. Columns: see `COLUMNS`."""
    return con.execute(
        f"SELECT {COLUMNS} FROM recipes WHERE pool = ?"  # noqa: S608  (a constant)
        " QUALIFY row_number() OVER (PARTITION BY name ORDER BY version DESC) = 1"
        " ORDER BY rowid DESC",
        [pool],
    ).df()


def history(con: Connection, name: str) -> "pd.DataFrame":
    """Every version of a recipe, newest first. Columns: see `COLUMNS`."""
    return con.execute(
        f"SELECT {COLUMNS} FROM recipes WHERE name = ? ORDER BY version DESC",  # noqa: S608
        [name],
    ).df()


def get(con: Connection, name: str, version: int | None = None) -> Recipe:
    """A saved recipe, its newest version unless one is named.

    Raises:
        BudgetError: there is none.
    """
    row = con.execute(
        "SELECT recipe FROM recipes WHERE name = ? AND coalesce(version = ?, true)"
        " ORDER BY version DESC LIMIT 1",
        [name, version],
    ).fetchone()
    if row is None:
        names = [
            n for (n,) in con.execute("SELECT DISTINCT name FROM recipes ORDER BY 1").fetchall()
        ]
        do = f"Use one of: {', '.join(names)}." if names else "Save one in the app first."
        got = name if version is None else f"{name}@{version}"
        raise BudgetError("--recipe", "no recipe is saved by this name", got=got, do=do)
    return Recipe.load(json.loads(row[0]))
