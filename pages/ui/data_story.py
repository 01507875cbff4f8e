"""What the Story reads of the store."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contrasts import Contrast, contrasts
from core.recipe import Recipe
from core.selection import Selection
from pages.ui import data

PAIRS = 2


def places(pool: str) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]] | None:
    """The newest map of the instructions and the labels of its clusters; None without one."""
    found = data.newest_map(pool, "instructions")
    return (data.map_rows(found.map_id), found.labels) if found else None


def pairs(recipe: Recipe) -> list[Contrast]:
    """Two pairs of near neighbours across the choice, most similar first."""
    selection, found = data.select(recipe), places(recipe.pool)
    if found is None:
        return []
    rows, kept = found[0], selection.subset.mask
    n = len(kept)
    near = np.where(rows["neighbours"][:n] < n, rows["neighbours"][:n], -1)
    return contrasts(near, rows["cosines"][:n], kept, PAIRS)


def weakest(selection: Selection) -> float | None:
    """Per cent of all scores that lie below the lowest kept one; None where none has a score."""
    score = selection.scores.value
    kept = score[selection.subset.mask]
    if not np.isfinite(kept).any():
        return None
    return float(100 * np.mean(score[np.isfinite(score)] < np.nanmin(kept)))
