"""The Gradient map's own widgets: which queries are served, by which clusters, and how nearly."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core import coverage
from core.domain import FloatN, MaskN
from core.selection import Selection
from pages.ui import data_gradients
from pages.ui.charts import gradients
from pages.ui.glossary import term
from pages.ui.panels import chart, open_sample, palette, rule_from
from pages.ui.prose import clipped
from pages.ui.thresholds import run_of

CELLS = {"max": "its nearest kept sample", "mean": "the mean of its kept samples"}
NAMED = 6  # queries that the sentence names


@dataclass(frozen=True)
class View:
    """Similarities (n, m), the queries' first words, and which of them the kept samples serve."""

    similarity: NDArray[np.float32]
    queries: list[str]
    level: float
    best: FloatN  # (m,) of the kept samples
    served: MaskN


def view(selection: Selection, own: Selection) -> View:
    """The level from which a query counts as served, and what follows from it."""
    assert own.scores.similarity is not None  # this method's scores have it
    similarity = own.scores.similarity
    percentile = st.slider(
        "A query is served by a kept sample that is nearer than this share of all pairs",
        80.0,
        99.9,
        99.0,
        step=0.1,
        format="%.1f %%",
        key="gradients_level",
        help=term("served"),
    )
    level = data_gradients.level(own, percentile)
    best, _ = coverage.nearest(similarity, selection.subset.chosen)
    names = data_gradients.queries(own.run, similarity.shape[1])
    return View(similarity, names, level, best, coverage.served(best, level))


def sentence(own: Selection, shown: View) -> None:
    """How many queries are served, and the names of those that are not."""
    m, bare = len(shown.queries), np.flatnonzero(~shown.served)
    st.markdown(
        f"**{m - len(bare):,}** of {m:,} queries are served by a kept sample: one with a similarity"
        f" of **{shown.level:.3f}** or more."
    )
    if not len(bare):
        return
    pool = data_gradients.reach(own)
    bare = bare[np.argsort(np.nan_to_num(shown.best[bare], nan=-1), kind="stable")]
    with st.container(border=True):
        st.markdown(f":material/warning: **Nothing kept serves {_count(len(bare))}:**")
        lines = [f"“{plain(shown.queries[q])}” {_nearest(shown, q, pool)}" for q in bare[:NAMED]]
        st.text("\n".join(lines))
        if len(bare) > NAMED:
            st.caption(f"and {len(bare) - NAMED:,} more, first in the chart below")


def _count(bare: int) -> str:
    return "this query" if bare == 1 else f"these {bare:,} queries"


def _nearest(shown: View, q: int, pool: FloatN) -> str:
    """How near kept samples come, and whether the pool could do better."""
    kept = "nothing is kept" if np.isnan(shown.best[q]) else f"nearest kept {shown.best[q]:.3f}"
    far = "" if pool[q] >= shown.level else ", too far as well"
    return kept if np.isnan(pool[q]) else f"{kept}, nearest of the pool {pool[q]:.3f}{far}"


def plain(text: str, letters: int = 60) -> str:
    """The beginning of a text in one line."""
    return clipped(" ".join(text.split()), letters)


def covered(selection: Selection, own: Selection, shown: View) -> None:
    """Query by cluster: how near the kept samples of each cluster come to each query."""
    left, right = st.columns(2)
    ways = data_gradients.clusterings(own.run.pool)
    by = left.segmented_control(
        "Clusters", ways, default=ways[0], key="gradients_by", required=True
    )
    how = right.segmented_control(
        "A cell is",
        ["max", "mean"],
        default="max",
        format_func=lambda how: CELLS[how],
        key="gradients_how",
        required=True,
    )
    found, names = data_gradients.covered(
        selection, own, str(by), "mean" if how == "mean" else "max"
    )
    down, across = coverage.arranged(found.value)
    down = down[found.size[down] > 0]
    chart(
        "",
        lambda: gradients.coverage(
            found.value[np.ix_(down, across)],
            found.row[np.ix_(down, across)],
            [shown.queries[q] for q in across],
            [f"{names[c]} · {found.size[c]:,}" for c in down],
            shown.served[across],
            "nearest" if how == "max" else "mean",
            palette(),
        ),
        "gradients_coverage",
        empty="Nothing is kept, so nothing is covered. Loosen a rule or raise the budget.",
        on_click=open_sample(own),
    )
    st.caption("Behind each cluster, its kept samples. ○ marks a query that nothing kept serves.")


def ranked(selection: Selection, own: Selection, shown: View) -> None:
    """How many samples come how near to their nearest query; a drag makes a rule."""
    chart(
        "How near the samples come to their nearest query",
        lambda: gradients.ranked(
            own.columns["similarity_max"], selection.subset.mask, shown.level, palette()
        ),
        "gradients_ranked",
        empty="No sample has a similarity. See the reasons on Overview.",
        about=term("similarity"),
        on_range=rule_from("similarity_max", run_of(own)),
        on_click=open_sample(own),
    )
