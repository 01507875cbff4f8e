"""Cached reads: with its siblings `data_*`, the only files under pages/ that open the store.

What never changes (a run, a map) is kept under its id; what other processes may write is kept
under `at`, a stamp of the store's file. Answers are shared between sessions and must not be
changed by who reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import config, selection, store
from core.domain import Sample
from core.errors import SFTLensError
from core.recipe import Recipe
from core.store import maps as stored_maps
from core.store import pools as stored_pools
from core.store import views
from pages.ui import rights
from pages.ui.prose import sentence

Stamp = tuple[str, int, int]
P = ParamSpec("P")
T = TypeVar("T")


def told(question: Callable[P, T]) -> Callable[P, T]:
    """A question to the store whose error is one sentence on the page, and the page's end.

    Who has lost the right to read since the page was drawn gets no answer, either: a fragment
    runs without the page around it.
    """

    @wraps(question)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        rights.gate()
        try:
            return question(*args, **kwargs)
        except SFTLensError as error:
            st.error(sentence(error), icon=":material/error:")
            st.stop()

    return ask


def stamp() -> Stamp:
    """Changes whenever the store does: path, time and size of the file."""
    path = config.store_path()
    if not path.is_file():
        return (str(path), 0, 0)
    stat = path.stat()
    return (str(path), stat.st_mtime_ns, stat.st_size)


def place() -> tuple[str, int]:
    """Which store it is: path and number of the file. Of all writes only a long one changes it."""
    path = config.store_path()
    return (str(path), path.stat().st_ino if path.is_file() else 0)


@told
def pools() -> pd.DataFrame:
    """See `views.pools`; empty when there is no store yet."""
    return _pools(stamp())


@st.cache_resource(max_entries=4, show_spinner=False)
def _pools(at: Stamp) -> pd.DataFrame:
    try:
        with store.connect() as con:
            return views.pools(con)
    except store.NoStoreError:
        return pd.DataFrame(columns=["pool", "kind", "n", "sources", "n_chars", "created_at"])


@told
def scored(pool: str | None = None) -> pd.DataFrame:
    """See `views.runs`; those of one pool as it is now when it is named."""
    frame = _runs(stamp())
    return frame if pool is None else frame[(frame["pool"] == pool) & frame["current"]]


@st.cache_resource(max_entries=4, show_spinner=False)
def _runs(at: Stamp) -> pd.DataFrame:
    try:
        with store.connect() as con:
            return views.runs(con)
    except store.NoStoreError:
        return pd.DataFrame(columns=["run_id", "pool", "method", "current"])


@told
def loaded(run_id: str) -> selection.Loaded:
    """See `selection.load`."""
    return _loaded(place(), run_id)


@st.cache_resource(max_entries=6, show_spinner=False)
def _loaded(at: tuple[str, int], run_id: str) -> selection.Loaded:
    return selection.load(run_id)


@told
def select(recipe: Recipe) -> selection.Selection:
    """See `selection.select`."""
    return _select(place(), recipe.model_dump_json())


def refusal(recipe: Recipe) -> str:
    """Why a recipe cannot be applied; empty where it can."""
    try:
        _select(place(), recipe.model_dump_json())
    except SFTLensError as error:
        return str(error)
    return ""


@st.cache_resource(max_entries=8, show_spinner=False)
def _select(at: tuple[str, int], recipe: str) -> selection.Selection:
    wanted = Recipe.model_validate_json(recipe)
    return selection.select(wanted, _loaded(at, wanted.run_id))


@st.cache_resource(max_entries=2, show_spinner=False)
def _rows(at: Stamp, pool: str) -> pd.DataFrame:
    with store.connect() as con:
        return views.pool_rows(con, pool)


@told
def rows(pool: str) -> pd.DataFrame:
    """See `views.pool_rows`; for query sets, a pool may be too long for it."""
    return _rows(stamp(), pool)


@st.cache_resource(max_entries=64, show_spinner=False)
def _previews(at: tuple[str, int], pool: str, positions: tuple[int, ...]) -> pd.DataFrame:
    with store.connect() as con:
        return views.previews(con, pool, positions)


@told
def previews(pool: str, positions: Sequence[int]) -> pd.DataFrame:
    """See `views.previews`."""
    return _previews(place(), pool, tuple(int(p) for p in positions))


@told
def sample(pool: str, sample_id: str) -> Sample:
    """One sample, whole."""
    with store.connect() as con:
        return stored_pools.read_samples(con, pool, [sample_id])[0]


@told
def maps(pool: str) -> pd.DataFrame:
    """See `views.maps`."""
    return _maps(stamp(), pool)


@st.cache_resource(max_entries=8, show_spinner=False)
def _maps(at: Stamp, pool: str) -> pd.DataFrame:
    with store.connect() as con:
        return views.maps(con, pool)


def newest_map(pool: str, of: stored_maps.Of = "instructions") -> stored_maps.StoredMap | None:
    """The newest map of a pool as it is now, None where there is none."""
    found = maps(pool)
    ids = found.loc[(found["of"] == of) & found["current"], "map_id"].tolist()
    return stored_map(ids[0]) if ids else None


@told
def stored_map(map_id: str) -> stored_maps.StoredMap | None:
    """See `store.maps.get_map`."""
    with store.connect() as con:
        return stored_maps.get_map(con, map_id)


@told
def map_rows(map_id: str) -> Mapping[str, NDArray[Any]]:
    """See `store.maps.map_rows`; a column is read when it is looked at."""
    return _map_rows(place(), map_id)


@st.cache_resource(max_entries=3, show_spinner=False)
def _map_rows(at: tuple[str, int], map_id: str) -> Mapping[str, NDArray[Any]]:
    with store.connect() as con:
        return stored_maps.columns(con, map_id)
