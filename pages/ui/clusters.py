"""Clusters of loss curves: what the Trajectories page draws and says of them."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core import curve_shapes
from core.curve_shapes import NAMES, Ribbons
from core.domain import FloatN, IntN, MaskN
from core.selection import Selection
from pages.ui.glossary import term
from pages.ui.prose import command
from pages.ui.unscored import to_runs


@dataclass(frozen=True)
class Curves:
    """The clusters of a run, largest first: quartiles of their curves, and each one's name.

    `group` (n,) is each sample's cluster, -1 for none; `pool` (t,) the median curve of all.
    """

    ribbons: Ribbons
    shapes: list[str]
    pool: FloatN
    group: IntN

    def counts(self, mask: MaskN, cost: FloatN | None = None) -> FloatN:
        """How many of these samples (n,) each cluster holds, (c,), or the sum of their cost."""
        rows = mask & (self.group >= 0)
        weights = None if cost is None else np.nan_to_num(cost[rows])
        most = int(self.group.max(initial=0)) + 1
        found = np.bincount(self.group[rows], weights, most)[self.ribbons.group]
        return found.astype(np.float64)


def need_curves(shown: Selection) -> Curves:
    """The curves of a run of loss trajectories, or the page ends with the reason."""
    found = _curves(shown.run.run_id, repr(sorted(shown.recipe.params.items())), shown)
    if len(found.ribbons) and len(found.pool) > 1:
        return found
    why = "This run kept one checkpoint, and one point is no curve."
    if not len(found.ribbons):
        why = "No sample has a loss at every checkpoint, so there is no curve to draw."
    with st.container(border=True):
        st.markdown(f"**{why}**")
        st.write("A run with more checkpoints, or with a higher token limit, has curves.")
        to_runs("Score again")
        asked = ("sftlens", "score", shown.run.pool, "loss_trajectory", "--set", "checkpoints=12")
        st.code(command(*asked), "bash")
    st.stop()


@st.cache_resource(max_entries=4, show_spinner=False)
def _curves(run_id: str, params: str, _shown: Selection) -> Curves:
    trajectory, group = _shown.columns["trajectory"], _shown.scores.group
    assert group is not None  # the method gives clusters
    found = curve_shapes.ribbons(trajectory, group)
    pool = curve_shapes.median_curve(trajectory, group)
    change = curve_shapes.usual_change(trajectory[group >= 0])
    return Curves(found, curve_shapes.shapes(found.middle, pool, change), pool, group)


def sentence(curves: Curves) -> None:
    """How the pool as a whole is learned."""
    first, last, t = curves.pool[0], curves.pool[-1], len(curves.pool)
    half = float(curve_shapes.half_done(curves.pool[None])[0])
    text = (
        f"From the first of {t} checkpoints to the last, the pool's median loss goes from"
        f" **{first:.3f}** to **{last:.3f}** nats per response token"
    )
    if np.isfinite(half):
        done = 100 * (1 + half * (t - 1)) / t
        text += f", and half of that drop is done after {done:.0f} % of the training"
    c = len(curves.ribbons)
    st.markdown(f"{text}. Its samples form {c:,} cluster{'s' * (c != 1)} of curves that are alike.")


def shape_numbers(curves: Curves, kept: MaskN) -> None:
    """For each shape that there is: its samples, and its share before and after the choice."""
    sizes, taken = curves.counts(np.ones(len(kept), bool)), curves.counts(kept)
    shapes = np.array(curves.shapes)
    there = [name for name in NAMES if (shapes == name).any()]
    for column, name in zip(st.columns(len(there)), there, strict=True):
        own = shapes == name
        column.metric(
            name.capitalize(),
            f"{int(sizes[own].sum()):,}",
            shares(sizes[own].sum(), sizes.sum(), taken[own].sum(), taken.sum()),
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help=term(name),
        )


def shares(size: float, pool: float, taken: float, kept: float) -> str:
    """A part's share of the pool's clusters, and of what is kept of them."""
    return f"{100 * size / pool:.1f} % of pool → {100 * taken / max(1.0, kept):.1f} % of kept"
