"""What people save: recipes by name, and reviews of samples."""

import pandas as pd
import streamlit as st

from core import access, store
from core.errors import SFTLensError
from core.recipe import Recipe
from core.store import recipes
from core.store import reviews as stored_reviews
from pages.ui.data import Stamp, stamp, told


def save_recipe(name: str, recipe: Recipe, note: str = "", author: str = "") -> str:
    """Save a version of a recipe; returns what to tell, or raises an `SFTLensError`."""
    named = f"{recipe.pool} {name.strip()}"
    with access.act("recipe", named, recipe.key), store.connect(write=True, people=True) as con:
        return f"Saved as {name.strip()}, version {recipes.save(con, name, recipe, note, author)}"


@told
def saved_recipes(pool: str) -> pd.DataFrame:
    """See `recipes.saved`."""
    return _saved(stamp(), pool)


@st.cache_resource(max_entries=8, show_spinner=False)
def _saved(at: Stamp, pool: str) -> pd.DataFrame:
    with store.connect() as con:
        return recipes.saved(con, pool)


@told
def recipe_history(name: str) -> pd.DataFrame:
    """See `recipes.history`."""
    with store.connect() as con:
        return recipes.history(con, name)


@told
def saved_recipe(name: str, version: int | None = None) -> Recipe:
    """See `recipes.get`."""
    return _saved_recipe(stamp(), name, version)


@st.cache_resource(max_entries=64, show_spinner=False)
def _saved_recipe(at: Stamp, name: str, version: int | None) -> Recipe:
    with store.connect() as con:
        return recipes.get(con, name, version)


@told
def reviews(pool: str) -> pd.DataFrame:
    """See `reviews.reviews`."""
    return _reviews(stamp(), pool)


@st.cache_resource(max_entries=8, show_spinner=False)
def _reviews(at: Stamp, pool: str) -> pd.DataFrame:
    with store.connect() as con:
        return stored_reviews.reviews(con, pool)


def add_review(review: stored_reviews.Review) -> str:
    """Keep a review; returns why it cannot be kept, or an empty text."""
    on, said = f"{review.pool} {review.sample_id}", f"{review.verdict} by {review.reviewer}"
    try:
        with access.act("verdict", on, said), store.connect(write=True, people=True) as con:
            stored_reviews.add(con, review)
    except SFTLensError as error:
        return str(error)
    return ""
