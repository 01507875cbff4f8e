"""Cached reads of the Audit: the queue, the verdicts, and the verdicts as a file."""

import csv
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core import access, audit, store
from core.domain import FloatN, content_hash
from core.methods import catalogue
from core.selection import Selection
from core.store import runs as stored_runs
from core.trace import running
from core.verdicts import Marks, guarded
from pages.ui import data, data_people
from pages.ui.data import place, told
from pages.ui.data_reader import hands

COLUMNS = ["sample_id", "reviewer", "verdict", "note", "queue", "created_at"]


@told
def queue(selection: Selection, wanted: Mapping[str, int], seed: int) -> audit.Queue:
    """The audit's queue for a recipe, the same for the same sizes and seed."""
    recipe = selection.recipe.model_dump_json()
    methods = published(selection.run.pool)
    return _queue(place(), recipe, tuple(wanted.items()), seed, methods, selection)


@st.cache_resource(max_entries=8, show_spinner=False)
def _queue(
    at: tuple[str, int],
    recipe: str,
    wanted: tuple[tuple[str, int], ...],
    seed: int,
    methods: tuple[str, ...],
    _selection: Selection,
) -> audit.Queue:
    subset, sizes = _selection.subset, dict(wanted)
    between = running(subset, hands(_selection))
    edge = audit.edge(_selection.scores.value, subset.mask, between)
    apart = _apart(at, methods, subset.n) if sizes.get("disagreement") else None
    mixed = audit.seeded(seed, _selection.recipe.key)
    return audit.queue(subset.mask, _selection.loaded.id_hash, sizes, mixed, edge, apart)


def name(selection: Selection, wanted: Mapping[str, int], seed: int) -> str:
    """The queue's name in the store: what it was drawn from and how."""
    return content_hash(["audit", selection.recipe.key, seed, dict(wanted)], 12)


def published(pool: str) -> tuple[str, ...]:
    """The newest run of each published method on the pool as it is now."""
    runs = data.scored(pool).drop_duplicates("method")
    cards = catalogue()
    known = [m in cards and not cards[m].baseline and cards[m].measures for m in runs["method"]]
    return tuple(runs.loc[known, "run_id"].astype(str))


@st.cache_resource(max_entries=4, show_spinner=False)
def _apart(at: tuple[str, int], run_ids: tuple[str, ...], n: int) -> FloatN | None:
    """How far the runs' ranks are apart, (n,); None for fewer than two runs."""
    if len(run_ids) < 2:
        return None
    with store.connect() as con:
        scores = [stored_runs.run_value(con, run_id) for run_id in run_ids]
    return audit.disagreement(scores) if all(len(s) == n for s in scores) else None


def verdicts(pool: str) -> dict[str, Marks]:
    """By reviewer: the newest verdict on each sample of the pool."""
    frame = data_people.reviews(pool)
    return {
        str(who): dict(zip(rows["sample_id"], rows["verdict"], strict=True))
        for who, rows in frame.groupby("reviewer")
    }


def as_csv(pool: str, strata: Mapping[str, str]) -> bytes:
    """All verdicts on a pool as CSV, with the stratum of those in the queue.

    Texts that a spreadsheet would run as a formula begin with an apostrophe.

    Raises:
        AccessError: who acts judges nothing here: what others said is theirs.
    """
    access.need("verdict", f"{pool} verdicts.csv")
    frame: pd.DataFrame = data_people.reviews(pool)[COLUMNS].copy()
    frame.insert(1, "stratum", [strata.get(str(i), "") for i in frame["sample_id"]])
    for column in ("reviewer", "note", "queue"):
        frame[column] = [guarded(str(text)) for text in frame[column]]
    # all quoted: a bare carriage return would begin a row of its own, and so a cell
    return frame.to_csv(index=False, quoting=csv.QUOTE_ALL).encode("utf8")
