"""What the Gradient map asks of the store, and its heavy arithmetic, worked out once a recipe."""

import numpy as np
import streamlit as st

from core import coverage, distances
from core.coverage import Coverage, How
from core.distances import Measure
from core.domain import FloatN, IntN
from core.policies import Candidates
from core.policies.budget import Budget
from core.selection import Selection
from core.selectors import Choice, choices, open_to
from core.store.runs import Run
from pages.ui import data
from pages.ui.charts.selectors import Band, Line

DRAWS = 20  # random subsets of the band
OF = {"instructions": "Map of instructions", "gradients": "Map of gradients"}
SOURCES = "Sources"


def queries(run: Run, m: int) -> list[str]:
    """The first words of the m queries; numbers where the query set is not here any more."""
    name, ids = query_set(run)
    if len(ids) < m:
        return [f"query {k + 1}" for k in range(m)]
    return [str(text) for text in data.previews(name, range(m))["preview"]]


def query(run: Run, number: int) -> str:
    """The whole instruction of a query; empty where the query set is not here any more."""
    name, ids = query_set(run)
    return data.sample(name, str(ids[number])).instruction if number < len(ids) else ""


def query_set(run: Run) -> tuple[str, list[str]]:
    """Name and sample ids of a run's query set; no ids where it has gone."""
    name = str((run.card.get("query") or {}).get("name", ""))
    pools = data.pools()
    there = len(pools) and name in set(pools.loc[pools["kind"] == "query", "pool"])
    return name, data.rows(name)["sample_id"].tolist() if there else []


def clusterings(pool: str) -> list[str]:
    """By what a pool can be cut: its maps, then its sources."""
    return [title for of, title in OF.items() if data.newest_map(pool, of)] + [SOURCES]  # type: ignore[arg-type]


def clusters(own: Selection, by: str) -> tuple[IntN, list[str]]:
    """Cluster (n,) of each sample, -1 for none, and the clusters' names."""
    of = next((of for of, title in OF.items() if title == by), None)
    found = data.newest_map(own.run.pool, of) if of else None  # type: ignore[arg-type]
    if found is None:
        return own.source, list(own.sources)
    cluster = np.asarray(data.map_rows(found.map_id)["cluster"], np.int64)
    return cluster[: len(own.ids)], list(found.labels)


def level(own: Selection, percentile: float) -> float:
    """See `coverage.level`."""
    return _level(data.place(), own.run.run_id, repr(own.recipe.params), percentile, own)


@st.cache_resource(max_entries=64, show_spinner=False)
def _level(at: tuple[str, int], run: str, params: str, percentile: float, _own: Selection) -> float:
    assert _own.scores.similarity is not None
    return coverage.level(_own.scores.similarity, percentile)


def reach(own: Selection) -> FloatN:
    """How near the nearest sample of the whole pool comes to each query (m,)."""
    return _reach(data.place(), own.run.run_id, repr(own.recipe.params), own)


@st.cache_resource(max_entries=8, show_spinner=False)
def _reach(at: tuple[str, int], run: str, params: str, _own: Selection) -> FloatN:
    similarity = _own.scores.similarity
    assert similarity is not None
    return coverage.nearest(similarity, np.arange(len(similarity)))[0]


def covered(selection: Selection, own: Selection, by: str, how: How) -> tuple[Coverage, list[str]]:
    """See `coverage.coverage` of the kept samples; and the clusters' names."""
    cluster, names = clusters(own, by)
    key = (selection.recipe.key, own.run.run_id)
    return _covered(data.place(), key, how, tuple(names), cluster, selection, own), names


@st.cache_resource(max_entries=8, show_spinner=False)
def _covered(
    at: tuple[str, int],
    key: tuple[str, str],
    how: How,
    names: tuple[str, ...],
    _cluster: IntN,
    _selection: Selection,
    _own: Selection,
) -> Coverage:
    assert _own.scores.similarity is not None
    kept = _selection.subset.chosen
    return coverage.coverage(_own.scores.similarity, kept, _cluster, len(names), how)


@data.told
def chosen(selection: Selection, own: Selection) -> dict[str, Choice]:
    """What each selector takes at the recipe's budget, of what its rules leave."""
    return _chosen(data.place(), selection.recipe.key, own.run.run_id, selection, own)


@st.cache_resource(max_entries=3, show_spinner="Asking every selector …")
def _chosen(
    at: tuple[str, int], recipe: str, run: str, _selection: Selection, _own: Selection
) -> dict[str, Choice]:
    asked = _selection.recipe
    mine = {asked.policy: asked.policy_params}
    return choices(_candidates(_selection, _own), Budget.parse(asked.budget), mine)


def _candidates(selection: Selection, own: Selection) -> Candidates:
    subset, scores = selection.subset, own.scores
    return Candidates(
        open_to(scores.value, subset.code, subset.names),
        subset.n_tokens,
        scores.group,
        own.source,
        scores.similarity,
        own.loaded.id_hash,
        scores.features,
    )


@data.told
def approach(
    selection: Selection, own: Selection, measure: Measure
) -> tuple[Line, dict[str, Line], Band | None]:
    """Distance to the query set by budget: of the recipe, of each selector, of random subsets."""
    picks = {name: c.rows for name, c in chosen(selection, own).items() if c.rows is not None}
    key = (selection.recipe.key, own.run.run_id)
    return _approach(data.place(), key, measure, selection, own, picks)


@st.cache_resource(max_entries=6, show_spinner="Measuring distances …")
def _approach(
    at: tuple[str, int],
    key: tuple[str, str],
    measure: Measure,
    _selection: Selection,
    _own: Selection,
    _picks: dict[str, IntN],
) -> tuple[Line, dict[str, Line], Band | None]:
    similarity = _own.scores.similarity
    assert similarity is not None
    recipe = Line(*distances.of_order(similarity, _selection.subset.chosen, measure))
    others = {
        name.replace("_", " "): Line(*distances.of_order(similarity, rows, measure))
        for name, rows in _picks.items()
    }
    candidates = _candidates(_selection, _own)
    rows = coverage.known(similarity, candidates.rows)
    most = min(len(rows), max((len(picked) for picked in _picks.values()), default=0))
    steps = distances.budgets(most)
    if not len(steps):
        return recipe, others, None
    draw = np.random.default_rng(0).choice
    orders = [draw(rows, most, replace=False) for _ in range(DRAWS)]
    return recipe, others, Band(steps, *distances.band(similarity, orders, steps, measure))
