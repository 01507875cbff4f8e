"""Cached reads of the Reader: queues, standings, neighbours, token heat."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import streamlit as st

from core import heat, store
from core.audit import first
from core.domain import IntN
from core.errors import SFTLensError
from core.methods import catalogue
from core.rules import Range, Search
from core.selection import Selection
from core.standing import Standing
from core.store import predicates
from core.store import runs as stored_runs
from core.store.reviews import Review
from core.store.standing import standings as stored_standings
from core.verdicts import Verdict
from pages.ui import data
from pages.ui.data import place, told
from pages.ui.data_people import add_review

Side = Literal["kept", "dropped"]
HEATED = ("differential_entropy", "perplexity", "ifd")  # their runs first: they count tokens


def order(selection: Selection, side: Side) -> IntN:
    """Positions of the kept in order of choice, or of the dropped, best score first."""
    if side == "kept":
        return selection.subset.chosen
    return _dropped(place(), selection.recipe.model_dump_json(), selection)


@st.cache_resource(max_entries=4, show_spinner=False)
def _dropped(at: tuple[str, int], recipe: str, _selection: Selection) -> IntN:
    downward = -np.nan_to_num(_selection.scores.value, nan=-np.inf)
    return first(downward, ~_selection.subset.mask, _selection.subset.n)


def hands(selection: Selection) -> IntN:
    """Positions of the samples that are kept or dropped by hand."""
    rows = [selection.ids.find(pin.sample_id) for pin in selection.recipe.pins]
    return np.array([row for row in rows if row is not None], np.int64)


@told
def hits(selection: Selection, text: str) -> IntN:
    """Positions of the samples with a text in any turn, in pool order."""
    run = selection.run
    return _hits(place(), run.pool, run.run_id, run.n, Search(text=text).text)


@st.cache_resource(max_entries=8, show_spinner=False)
def _hits(at: tuple[str, int], pool: str, run_id: str, n: int, text: str) -> IntN:
    with store.connect() as con:
        mask = predicates.positions_passing(con, Search(text=text), pool, run_id, n)
    return np.flatnonzero(mask)


@told
def standings(pool: str, position: int, own: str) -> Mapping[str, list[Standing]]:
    """By run id: where a sample stands by each run's score, and in the columns of the run `own`."""
    found = {}
    for run in data.scored(pool).itertuples():
        card = catalogue().get(str(run.method))
        columns = card.columns if card is not None and run.run_id == own else ()
        found[str(run.run_id)] = _standings(place(), pool, str(run.run_id), position, columns)
    return found


@st.cache_resource(max_entries=512, show_spinner=False)
def _standings(
    at: tuple[str, int], pool: str, run_id: str, position: int, columns: tuple[str, ...]
) -> list[Standing]:
    with store.connect() as con:
        return stored_standings(con, pool, run_id, position, columns)


@told
def numbers(selection: Selection, row: int) -> dict[str, float]:
    """By slot: the sample's number for rules on columns that the recipe's run does not hold."""
    pool, found = selection.run.pool, {}
    sample = data.sample(pool, selection.ids[row])
    own: dict[str, object] = {f"meta.{k}": v for k, v in sample.meta.items()}
    own["n_turns"] = len(sample.turns)
    own["n_chars"] = data.previews(pool, [row])["n_chars"].iloc[0]
    for rule in selection.recipe.rules:
        if isinstance(rule, Range) and rule.run:
            column = "value" if rule.column == "score" else rule.column
            found[rule.slot] = _cell(place(), rule.run, column, row)
        elif isinstance(rule, Range) and rule.column in own:
            found[rule.slot] = _float(own[rule.column])
    return found


@st.cache_resource(max_entries=512, show_spinner=False)
def _cell(at: tuple[str, int], run_id: str, column: str, position: int) -> float:
    with store.connect() as con:
        return stored_runs.cell(con, run_id, column, position)


def _float(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def judge(pool: str, sample_id: str, reviewer: str, verdict: Verdict, note: str, queue: str) -> str:
    """Keep a verdict; returns why it cannot be kept, or an empty text."""
    return add_review(Review(pool, sample_id, reviewer, verdict, note, queue))


@told
def heat_run(pool: str) -> stored_runs.Run | None:
    """The newest run whose numbers are means over tokens; else the newest with a model."""
    runs = data.scored(pool)
    ranked = [runs.loc[runs["method"] == name, "run_id"].tolist() for name in HEATED]
    ids = [run_id for found in ranked for run_id in found] + runs["run_id"].tolist()
    known = (_run(place(), str(run_id)) for run_id in ids)
    return next((run for run in known if run is not None and "base" in run.card), None)


@st.cache_resource(max_entries=64, show_spinner=False)
def _run(at: tuple[str, int], run_id: str) -> stored_runs.Run | None:
    with store.connect() as con:
        return stored_runs.get_run(con, run_id)


@told
def heat_of(run: stored_runs.Run, sample_id: str) -> dict[str, heat.Heat]:
    """What is measured of a sample's tokens; empty until all of it is there."""
    found = heat.kept(run, sample_id)
    return found if len(found) == len(heat.roles(run)) else {}


@told
def heat_state(run: stored_runs.Run, sample_id: str) -> tuple[str, str]:
    """See `heat.state`."""
    return heat.state(run.run_id, sample_id)


@told
def heat_lacking(run: stored_runs.Run) -> str:
    """See `heat.lacking`."""
    return heat.lacking(run)


def measure_heat(run: stored_runs.Run, sample_id: str) -> None:
    """Start measuring in a process of its own; a refusal is shown with the next drawing."""
    try:
        heat.launch(run.pool, sample_id, run.run_id)
    except SFTLensError as error:
        st.session_state["reader_heat_refused"] = str(error)
