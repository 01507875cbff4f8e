"""Cached reads: the only file under pages/ that opens the store.

Answers are kept under `at`, a stamp of the store's file, so they follow what other processes
write (Streamlit would not hash an argument that begins with an underscore).
They are shared between sessions and must not be changed by who reads them.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pandas as pd
import streamlit as st

from core import config, export, runs, selection, store
from core import jobs as jobs_on_file
from core.domain import RunSpec, Sample
from core.errors import SFTLensError
from core.recipe import Recipe
from core.store import pools as stored_pools
from core.store import views

Stamp = tuple[str, int, int]
P = ParamSpec("P")
T = TypeVar("T")


def told(question: Callable[P, T]) -> Callable[P, T]:
    """A question to the store whose error is one sentence on the page, and the page's end."""

    @wraps(question)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return question(*args, **kwargs)
        except SFTLensError as error:
            st.error(str(error), icon=":material/error:")
            st.stop()

    return ask


def stamp() -> Stamp:
    """Changes whenever the store does: path, time and size of the file."""
    path = config.store_path()
    if not path.is_file():
        return (str(path), 0, 0)
    stat = path.stat()
    return (str(path), stat.st_mtime_ns, stat.st_size)


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
def select(recipe: Recipe) -> selection.Selection:
    """See `selection.select`."""
    return _select(stamp(), recipe.model_dump_json())


def refusal(recipe: Recipe) -> str:
    """Why a recipe cannot be applied; empty where it can."""
    try:
        _select(stamp(), recipe.model_dump_json())
    except SFTLensError as error:
        return str(error)
    return ""


@st.cache_resource(max_entries=16, show_spinner=False)
def _select(at: Stamp, recipe: str) -> selection.Selection:
    return selection.select(Recipe.model_validate_json(recipe))


@st.cache_resource(max_entries=8, show_spinner=False)
def _rows(at: Stamp, pool: str) -> pd.DataFrame:
    with store.connect() as con:
        return views.pool_rows(con, pool)


@told
def rows(pool: str) -> pd.DataFrame:
    """See `views.pool_rows`."""
    return _rows(stamp(), pool)


@st.cache_resource(max_entries=32, show_spinner=False)
def _previews(at: Stamp, pool: str, positions: tuple[int, ...]) -> pd.DataFrame:
    with store.connect() as con:
        return views.previews(con, pool, positions)


@told
def previews(pool: str, positions: Sequence[int]) -> pd.DataFrame:
    """See `views.previews`."""
    return _previews(stamp(), pool, tuple(int(p) for p in positions))


@told
def sample(pool: str, sample_id: str) -> Sample:
    """One sample, whole."""
    with store.connect() as con:
        return stored_pools.read_samples(con, pool, [sample_id])[0]


def jobs() -> list[jobs_on_file.Job]:
    """Scoring processes, newest first."""
    return jobs_on_file.every()


def start(spec: RunSpec) -> str:
    """Start scoring in a process of its own."""
    return runs.launch(spec)


def stop(job_id: str) -> None:
    """Ask a scoring process to stop."""
    jobs_on_file.stop(job_id)


def log_tail(job_id: str) -> str:
    """The last lines of a job's log."""
    return jobs_on_file.log_tail(job_id)


def make_files(recipe: Recipe, layout: export.Layout) -> tuple[Path, dict[str, Any]]:
    """Export into the cache; returns the folder and the manifest."""
    parts = [recipe.key, layout.shape, layout.file]
    parts += ["scores"] * layout.scores + ["rejected"] * layout.rejected
    folder = config.folder("exports") / "-".join(parts)
    return folder, export.export(recipe, layout, folder)


@told
def export_preview(recipe: Recipe, layout: export.Layout, rows: int) -> list[dict[str, Any]]:
    """The first records that an export would write."""
    return export.preview(select(recipe), layout, rows)
