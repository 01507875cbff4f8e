"""One query of the Gradient map: its text, its nearest and farthest samples, and a map by it."""

import numpy as np
import pandas as pd
import streamlit as st

from core import coverage
from core.domain import FloatN, IntN
from core.selection import Selection
from pages.ui import data, data_gradients
from pages.ui.glossary import term
from pages.ui.gradient_panels import View, plain
from pages.ui.map_panel import map_panel
from pages.ui.sheets import sheet
from pages.ui.state import state


def one_query(selection: Selection, own: Selection, shown: View) -> int:
    """A query to look at: its text, and the nearest and the farthest kept samples. Its number."""
    order = np.argsort(np.nan_to_num(shown.best, nan=-1), kind="stable").tolist()
    q = st.selectbox(
        "Query, the least served first",
        order,
        format_func=lambda k: f"{k + 1}. {plain(shown.queries[k])}",
        key="gradients_query",
        help=term("query"),
    )
    q = order[0] if q is None else int(q)
    whole = data_gradients.query(own.run, q) or shown.queries[q]
    with st.container(border=True):
        st.text(plain(whole, 600))
    similarity = shown.similarity[:, q].astype(np.float64)
    ends = coverage.ends(similarity, selection.subset.chosen)
    if not len(ends[0]):
        st.info("Nothing is kept that has a similarity.", icon=":material/info:")
    for title, name, rows in zip(
        ("Nearest kept", "Farthest kept"), ("near", "far"), ends, strict=True
    ):
        if len(rows):
            st.caption(f"{title}; a click opens the sample")
            _table(own, similarity, rows, f"gradients_{name}_{q}")
    return q


def _table(own: Selection, similarity: FloatN, rows: IntN, key: str) -> None:
    """A few samples with their similarity."""
    found = data.previews(own.run.pool, rows.tolist())
    frame = pd.DataFrame(
        {
            "similarity": similarity[rows],
            "instruction": found["preview"].to_numpy(),
            "source": found["source"].to_numpy(),
        }
    )

    def opened() -> None:
        at = st.session_state[key]["selection"]["rows"]
        if at:
            state().open(own.ids[int(rows[at[0]])])

    sheet(
        frame,
        hide_index=True,
        key=key,
        on_select=opened,
        selection_mode="single-row",
        column_config={
            "similarity": st.column_config.NumberColumn(format="%.3f", width="small"),
            "instruction": st.column_config.TextColumn(width="large"),
        },
    )


def coloured_map(own: Selection, shown: View, q: int) -> None:
    """The samples laid out by their gradients, coloured by how near a query they are."""
    ways = {
        "nearest query": ("similarity_max", own.columns["similarity_max"]),
        "chosen query": (f"similarity_to_query_{q + 1}", shown.similarity[:, q]),
    }
    by = st.segmented_control(
        "Coloured by similarity to the",
        list(ways),
        default="nearest query",
        key="gradients_colour",
        required=True,
    )
    map_panel(own, "gradients", *ways[str(by)], "gradients", about=term("similarity"))
