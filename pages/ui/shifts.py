"""Compare: how two subsets spread over sources and over the clusters of a map."""

import numpy as np
import pandas as pd
import streamlit as st

from core import comparison as cmp
from core.domain import FloatN, IntN
from core.selection import Selection
from pages.ui import data
from pages.ui.charts import compare as charts
from pages.ui.glossary import term
from pages.ui.panels import chart, palette
from pages.ui.prose import command
from pages.ui.rivals import Rival
from pages.ui.sheets import sheet

LABELS = 14  # largest sources or clusters that are drawn


def sources(selection: Selection, rival: Rival) -> None:
    """Shares of the sources in A and in B."""
    counts = np.bincount(selection.source, minlength=len(selection.sources))
    _labels(selection, rival, selection.source, list(selection.sources), counts, "source")


def clusters(selection: Selection, rival: Rival) -> None:
    """Shares of the map's clusters, where the pool has a map."""
    found = data.newest_map(selection.run.pool)
    if found is None:
        st.info("A map sorts the pool into clusters of alike instructions.", icon=":material/info:")
        st.code(command("sftlens", "map", selection.run.pool), language="bash")
        return
    label = np.asarray(data.map_rows(found.map_id)["cluster"], np.int64)[: selection.subset.n]
    placed = label >= 0
    outside = len(found.labels)
    names = [*found.labels, *(["not on the map"] if not placed.all() else [])]
    label = np.where(placed, label, outside)
    counts = np.bincount(label, minlength=len(names))
    _labels(selection, rival, label, names, counts, "cluster")


def _labels(
    selection: Selection, rival: Rival, label: IntN, names: list[str], counts: IntN, what: str
) -> None:
    """A chart of differences over their band of chance, and the table of shares."""
    a, b = selection.subset.mask, rival.mask
    gap = cmp.label_gap(label, len(names), a, b)
    order = np.argsort(-counts, kind="stable")[:LABELS]
    few = cmp.Gap(gap.a[order], gap.b[order], gap.reach[order])
    shown = [names[i] for i in order.tolist()]
    words = [
        f"{100 * x:.1f} % of A, {100 * y:.1f} % of B" for x, y in zip(few.a, few.b, strict=True)
    ]
    chart(
        f"Shift by {what}",
        lambda: charts.shift(shown, few, words, palette()),
        f"compare_shift_{what}",
        empty="One of the two keeps nothing, so there are no shares to compare.",
        about=term("by_chance"),
    )
    if len(names) > LABELS:
        st.caption(f"The {LABELS} largest of {len(names):,}.")
    with st.expander("As a table"):
        sheet(_shares(selection, label, shown, order, few, counts), hide_index=True)


def _shares(
    selection: Selection, label: IntN, names: list[str], order: IntN, gap: cmp.Gap, counts: IntN
) -> pd.DataFrame:
    mean, _ = selection.subset.matched.expected(label, len(counts))
    kept = max(len(selection.subset.chosen), 1)
    return pd.DataFrame(
        {
            "": names,
            "A": _cents(gap.a),
            "B": _cents(gap.b),
            "random, same size and length": _cents(mean[order] / kept),
            "pool": _cents(counts[order] / max(counts.sum(), 1)),
            "A − B": [signed(100 * d) for d in gap.difference],
            "by chance": [f"±{100 * r:.1f}" for r in gap.reach],
            "verdict": ["clear" if c else "noise" for c in gap.clear],
        }
    )


def _cents(shares: FloatN) -> list[str]:
    return [f"{100 * share:.1f} %" for share in shares.tolist()]


def signed(number: float) -> str:
    """A difference with its sign, one digit after the point."""
    return f"{number:+,.1f}".replace("-", "−")
