"""Compare: what two subsets share, and in what they differ beyond chance."""

import numpy as np
import pandas as pd
import streamlit as st

from core import comparison as cmp
from core.domain import IntN, MaskN
from core.ranks import spearman
from core.selection import Selection
from pages.ui import data, data_baseline
from pages.ui.charts import compare as charts
from pages.ui.glossary import term
from pages.ui.panels import chart, palette
from pages.ui.rivals import Rival
from pages.ui.sheets import sheet
from pages.ui.shifts import signed
from pages.ui.state import state

ROWS = 200  # samples a list shows


def overlap(selection: Selection, rival: Rival) -> None:
    """How much both share, against what chance would give."""
    found = cmp.overlap(selection.subset.mask, rival.mask)
    chart(
        "Overlap",
        lambda: charts.overlap(found, palette()),
        "compare_overlap",
        empty="Neither keeps a sample: there is nothing to compare.",
        about=term("jaccard"),
    )
    if found.only_a + found.both + found.only_b:
        st.markdown(
            f"Jaccard index **{found.jaccard:.2f}**; two random draws of these sizes:"
            f" {found.jaccard_by_chance:.2f}. A keeps {found.only_a:,} that B does not, B keeps"
            f" {found.only_b:,} that A does not, both keep {found.both:,}."
        )


def lengths(selection: Selection, rival: Rival) -> None:
    """Response lengths of both, and of the random draw."""
    tokens, a = selection.subset.n_tokens, selection.subset.mask
    sides = {"A": a, "B": rival.mask}
    if rival.selection is not None:
        sides["random"] = data_baseline.matched_random(selection)
    chart(
        "Response length",
        lambda: charts.lengths({name: tokens[mask] for name, mask in sides.items()}, palette()),
        "compare_lengths",
        empty="The response tokens of these samples were not counted.",
        about=term("tokens"),
    )
    gap = cmp.mean_gap(tokens, a, rival.mask)
    if np.isfinite(gap.reach[0]):
        word = "clear" if gap.clear[0] else "noise"
        st.markdown(
            f"A's responses have {gap.a[0]:,.1f} tokens on average, B's {gap.b[0]:,.1f}: a"
            f" difference of {signed(gap.difference[0])}, where chance stays within"
            f" ±{gap.reach[0]:,.1f}. **That is {word}.**"
        )
    sheet(_quantiles(tokens, sides), hide_index=True)


def _quantiles(tokens: "np.ndarray", sides: dict[str, MaskN]) -> pd.DataFrame:
    rows = []
    for name, mask in sides.items():
        own = tokens[mask & np.isfinite(tokens)]
        row = {"": name, "samples": f"{int(mask.sum()):,}", "tokens": f"{int(own.sum()):,}"}
        for word, q in (("10 %", 0.1), ("median", 0.5), ("90 %", 0.9)):
            row[word] = f"{np.quantile(own, q):,.0f}" if len(own) else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def rankings(selection: Selection, rival: Rival) -> None:
    """How alike both orders are: rank correlation, and the overlap of their tops."""
    st.markdown("**Both rankings**", help=term("spearman"))
    if rival.selection is None:
        st.info("A random draw has no ranking. Choose a run or a recipe as B.")
        return
    a, b = selection.scores.value, rival.selection.scores.value[: selection.subset.n]
    if selection.run.run_id == rival.selection.run.run_id and np.array_equal(a, b, equal_nan=True):
        st.info("A and B rank by the same scores; they differ in what is done with them.")
        return
    rho, n = spearman(a, b)
    said = "cannot be told" if np.isnan(rho) else f"**{rho:+.2f}**"
    st.markdown(f"Rank correlation {said}, over {n:,} samples that both score.")
    chart(
        "",
        lambda: charts.by_budget(
            *cmp.overlap_by_budget(a, b), len(selection.subset.chosen), palette()
        ),
        "compare_budget",
        empty="Neither run scores a sample.",
        on_click=lambda budget: state().change(budget=str(int(budget))),
    )
    st.caption(
        "Overlap of the highest scores of both, whatever the policy. Click to take that budget."
    )


def exclusive(selection: Selection, rival: Rival) -> None:
    """What only one of the two keeps, side by side; a click opens the sample."""
    a, b = selection.subset.mask, rival.mask
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Only A keeps**")
        _list(selection, np.flatnonzero(a & ~b), "compare_only_a")
    with right:
        st.markdown("**Only B keeps**")
        _list(rival.selection or selection, np.flatnonzero(b & ~a), "compare_only_b")


def _list(ranked: Selection, rows: IntN, key: str) -> None:
    """Samples by the score of the side that keeps them, best first."""
    value = ranked.scores.value[rows]
    rows = rows[np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")]
    if not len(rows):
        st.info("None.", icon=":material/info:")
        return
    some = rows[:ROWS]
    frame = data.previews(ranked.run.pool, some.tolist())[["preview", "source"]].copy()
    frame.insert(0, "score", ranked.scores.value[some])
    frame["tokens"] = ranked.subset.n_tokens[some]
    config = {
        "score": st.column_config.NumberColumn(format="%.3f", width="small"),
        "preview": st.column_config.TextColumn("instruction", width="medium"),
        "tokens": st.column_config.NumberColumn(format="localized", width="small"),
    }
    sheet(
        frame,
        hide_index=True,
        key=key,
        height=320,
        on_select=lambda: _open(ranked, some, key),
        selection_mode="single-row",
        column_config=config,
    )
    if len(rows) > ROWS:
        st.caption(f"The first {ROWS:,} of {len(rows):,}.")


def _open(ranked: Selection, rows: IntN, key: str) -> None:
    at = st.session_state[key]["selection"]["rows"]
    if at and at[0] < len(rows):
        state().open(ranked.ids[int(rows[at[0]])])
