"""The Trajectories page's charts: curves by cluster, how they are filled, one sample's curve."""

from typing import Any

import numpy as np
import streamlit as st

from core.curve_shapes import NAMES, water_level
from core.policies.budget import Budget
from core.rules import Among, Range
from core.selection import Selection
from pages.ui import thresholds
from pages.ui.charts import clusters, trajectories
from pages.ui.clusters import Curves, shares
from pages.ui.glossary import term
from pages.ui.panels import chart, palette
from pages.ui.state import show, state

PANELS = 12  # clusters whose curves are drawn
OFFERED = 200  # clusters that the list offers
CHOSEN = "trajectories_clusters"


def ribbons(shown: Selection, curves: Curves) -> None:
    """Curves of the largest clusters in small multiples; a click keeps one cluster."""
    found = curves.ribbons
    kept = shown.subset.mask
    size, taken = curves.counts(np.ones(len(kept), bool)), curves.counts(kept)
    order = sorted(range(min(PANELS, len(found))), key=lambda k: NAMES.index(curves.shapes[k]))
    panels = [
        trajectories.Panel(
            k,
            curves.shapes[k],
            f"{found.group[k]} · {curves.shapes[k]}",
            shares(size[k], size.sum(), taken[k], taken.sum()),
        )
        for k in order
    ]
    chart(
        "Loss curves by cluster",
        lambda: trajectories.small_multiples(found, panels, curves.pool, palette()),
        "trajectories_ribbons",
        empty="No cluster has a curve.",
        about=term("cluster"),
        on_click=lambda custom: keep_cluster(shown, custom),
    )
    rest = f"{100 * size[PANELS:].sum() / size.sum():.1f} %"
    some = (
        f"The {PANELS} largest of {len(found):,} clusters; the others hold {rest} of the samples."
    )
    st.caption(
        f"{some if len(found) > PANELS else ''} Line: the cluster's median. Ribbon: the middle half"
        " of its samples. Dotted: the pool's median, moved to where the cluster begins. All panels"
        " span equally many nats. Click a point to keep only that cluster."
    )


def filling(shown: Selection, curves: Curves) -> None:
    """Sizes of the clusters, what is kept of them, and the level of equal filling."""
    recipe, subset = state().recipe, shown.subset
    tokens = recipe is not None and Budget.parse(recipe.budget).unit == "tokens"
    cost = subset.n_tokens if tokens else None
    everything = np.ones(subset.n, bool)
    passing = np.all([everything, *subset.passed], axis=0)
    size, taken = curves.counts(everything, cost), curves.counts(subset.mask, cost)
    level = water_level(curves.counts(passing, cost), float(taken.sum()))
    unit = "response tokens" if tokens else "samples"
    chart(
        "What is kept of each cluster",
        lambda: clusters.filling(
            curves.ribbons.group, size, taken, level, curves.shapes, unit, palette()
        ),
        "trajectories_filling",
        empty="No cluster has a sample.",
        about=term("water level"),
        on_click=lambda custom: keep_cluster(shown, custom),
    )
    some = f" The {clusters.BARS} largest of {len(size):,} are drawn." * (len(size) > clusters.BARS)
    st.caption(
        "Equal filling of what passes the rules keeps small clusters whole, and larger ones up to"
        f" the line. Click a bar to keep only that cluster.{some}"
    )


def keep_cluster(shown: Selection, custom: Any) -> None:
    """Keep only the cluster whose mark was clicked."""
    number = int(custom[0] if isinstance(custom, list | tuple) else custom)
    if run := thresholds.run_of(shown):
        state().add_rule(Range(column="cluster", run=run, low=number, high=number))
    else:
        state().add_rule(Among(column="group", values=(str(number),)))


def choose(shown: Selection, curves: Curves) -> None:
    """The clusters to keep, as a list: the rule of a click, for several at once and by keyboard."""
    recipe = state().recipe
    if recipe is None or thresholds.run_of(shown):
        return
    facts = zip(curves.ribbons.group, curves.shapes, curves.ribbons.size, strict=True)
    label = {str(g): f"{g} · {name} · {n:,} samples" for g, name, n in facts}
    slot = Among(column="group", values=("0",)).slot
    rule = next((r for r in recipe.rules if isinstance(r, Among) and r.slot == slot), None)
    held = [v for v in rule.values if v in label] if rule else []

    def move() -> None:
        if chosen := tuple(st.session_state[CHOSEN]):
            state().add_rule(Among(column="group", values=chosen))
        elif rule is not None:
            state().drop_rule(rule)

    show(CHOSEN, held)
    st.multiselect(
        "Keep only these clusters",
        list(dict.fromkeys([*held, *list(label)[:OFFERED]])),
        key=CHOSEN,
        format_func=lambda g: label[g],
        placeholder="All clusters",
        on_change=move,
        help=term("rule"),
    )


def one_sample(shown: Selection, curves: Curves) -> None:
    """The opened sample's losses over those of its cluster."""
    opened = state().sample
    row = None if opened is None else shown.ids.find(opened)
    cluster = -1 if row is None else int(curves.group[row])
    places = np.flatnonzero(curves.ribbons.group == cluster)
    empty = "Open a sample in the list below to see its curve."
    if row is not None:
        empty = "The opened sample has no curve: it was not scored."
    title = "The opened sample's curve" + (f", cluster {cluster}" if len(places) else "")
    chart(
        title,
        lambda: (
            None
            if row is None or not len(places)
            else clusters.one_curve(
                shown.columns["trajectory"][row],
                curves.ribbons,
                int(places[0]),
                curves.shapes[int(places[0])],
                palette(),
            )
        ),
        "trajectories_sample",
        empty=empty,
        about=term("trajectory"),
    )
