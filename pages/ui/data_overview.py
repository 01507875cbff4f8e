"""What the Overview asks of the store: scores in small, and whether they can be trusted."""

import json

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import health, store
from core.domain import FloatN
from core.store import facets
from pages.ui import data
from pages.ui.prose import command

Place = tuple[str, int]
Small = NDArray[np.float32]
NEXT_SEED = 43


@data.told
def scores(run_id: str) -> Small:
    """A run's scores (n,) under its own parameters, in half the memory."""
    return _scores(data.place(), run_id)


@st.cache_resource(max_entries=6, show_spinner=False)
def _scores(at: Place, run_id: str) -> Small:
    return _read(run_id)[0].astype(np.float32)


def _read(run_id: str) -> tuple[FloatN, FloatN | None]:
    with store.connect() as con:
        return facets.score_and_length(con, run_id)


@data.told
def findings(run_id: str) -> list[health.Finding]:
    """See `health.findings`."""
    return _findings(data.place(), run_id)


@st.cache_resource(max_entries=64, show_spinner=False)
def _findings(at: Place, run_id: str) -> list[health.Finding]:
    with store.connect() as con:
        value, n_tokens = facets.score_and_length(con, run_id)
        return health.findings(value, n_tokens, facets.reasons(con, run_id))


@data.told
def seeds(runs: pd.DataFrame, run_id: str, budget: int) -> health.Finding | None:
    """What another seed of the same method says; how to get one; None where no seed counts."""
    row = runs[runs["run_id"] == run_id].iloc[0]
    mine = runs[runs["method"] == row["method"]]
    params = {r.run_id: _shape(str(r.params), str(r.card)) for r in mine.itertuples()}
    if "seed" not in params[run_id]:
        return None
    pairs = [pair for pair in health.seed_partners(params) if run_id in pair]
    if not pairs:
        says = "One seed alone: how much of the ranking it decides is not known."
        seed = NEXT_SEED if params[run_id]["seed"] != NEXT_SEED else NEXT_SEED + 1
        query = params[run_id].get("query")
        ask = ["--query", str(query)] if query else []
        words = ["score", str(row["pool"]), str(row["method"]), *ask, "--set", f"seed={seed}"]
        do = command("sftlens", *words)
        return health.Finding("seeds", "unknown", says, do)
    a, b = pairs[0]
    names = (params[a]["seed"], params[b]["seed"])
    return _seeds(data.place(), a, b, budget, names)


def _shape(params: str, card: str) -> dict[str, object]:
    """A run's parameters, and what of its card shapes its numbers."""
    made: dict[str, object] = json.loads(params)
    told = json.loads(card)
    query = told.get("query") or {}
    return made | {
        "query": query.get("name", ""),
        "made by": [told.get("base"), told.get("precision"), told.get("max_tokens"), query],
    }


@st.cache_resource(max_entries=32, show_spinner=False)
def _seeds(at: Place, a: str, b: str, budget: int, names: tuple[object, object]) -> health.Finding:
    return health.seeds(_read(a)[0], _read(b)[0], budget, names)
