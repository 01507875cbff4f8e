"""What the Story reads of the store."""

from typing import Any

import streamlit as st
from numpy.typing import NDArray

from core import summary
from core.contrasts import Contrast, contrasts
from core.recipe import Recipe
from pages.ui import data

PAIRS = 2


def told(recipe: Recipe) -> summary.Summary:
    """See `summary.summarise`."""
    return _told(data.place(), recipe.model_dump_json())


@st.cache_resource(max_entries=4, show_spinner=False)
def _told(at: tuple[str, int], recipe: str) -> summary.Summary:
    return summary.summarise(data.select(Recipe.model_validate_json(recipe)))


def places(recipe: Recipe) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]] | None:
    """The newest map of the instructions and the labels of its clusters; None without one.

    A run may be older than the map: its samples are the map's first ones.
    """
    found = data.newest_map(recipe.pool, "instructions")
    if found is None:
        return None
    n, rows = len(data.select(recipe).ids), data.map_rows(found.map_id)
    return {name: rows[name][:n] for name in ("x", "y", "cluster")}, found.labels


def pairs(recipe: Recipe) -> list[Contrast]:
    """Two pairs of near neighbours across the choice, most similar first."""
    found = data.newest_map(recipe.pool, "instructions")
    return _pairs(data.place(), recipe.model_dump_json(), found.map_id) if found else []


@st.cache_resource(max_entries=4, show_spinner=False)
def _pairs(at: tuple[str, int], recipe: str, map_id: str) -> list[Contrast]:
    kept = data.select(Recipe.model_validate_json(recipe)).subset.mask
    rows = data.map_rows(map_id)
    return contrasts(rows["neighbours"], rows["cosines"], kept, PAIRS)
