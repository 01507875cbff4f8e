"""Samples as people read them: a list to pick from, and one opened as a conversation."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.methods import catalogue
from core.selection import Selection
from core.summary import rank
from pages.ui import data, data_reader
from pages.ui.chat import conversation
from pages.ui.data_reader import Side
from pages.ui.glossary import term
from pages.ui.prose import label
from pages.ui.sheets import sheet
from pages.ui.state import state

ROWS = 500  # the list shows this many and says so


def sample_list(selection: Selection, key: str) -> None:
    """The samples, best first, with a filter; a click on a row opens the sample."""
    subset = selection.subset
    sides: dict[str, Side] = {
        f"Kept {len(subset.chosen):,}": "kept",
        f"Dropped {subset.n - len(subset.chosen):,}": "dropped",
    }
    side = st.segmented_control(
        "Show",
        list(sides),
        default=next(iter(sides)),
        key=f"{key}_side",
        required=True,
        label_visibility="collapsed",
    )
    rows = data_reader.order(selection, sides.get(str(side), "kept"))
    if not len(rows):
        st.info("No sample on this side.", icon=":material/info:")
        return
    if len(rows) > ROWS:
        st.caption(f"The first {ROWS:,} of {len(rows):,}.")
    frame = _frame(selection, rows[:ROWS])
    key = f"{key}_list_{side}"

    def picked() -> None:
        if at := st.session_state[key]["selection"]["rows"]:
            state().open(selection.ids[int(rows[at[0]])])

    sheet(
        frame,
        hide_index=True,
        key=key,
        height=430,
        on_select=picked,  # told once: what a chart opens later must not be closed again
        selection_mode="single-row",
        column_config=_columns(list(frame.columns)),
    )
    if state().sample is None:
        state().open(selection.ids[int(rows[0])])


def _frame(selection: Selection, rows: NDArray[np.int64]) -> pd.DataFrame:
    """The list's columns for these positions."""
    frame = data.previews(selection.run.pool, rows.tolist())[["preview", "source"]].copy()
    frame.insert(0, "score", selection.scores.value[rows])
    for name in catalogue()[selection.run.method].columns:
        if name in selection.columns:
            frame[name] = selection.columns[name][rows]
    subset = selection.subset
    frame["reason"] = [subset.names[code] for code in subset.code[rows]]
    return frame


def _columns(names: list[str]) -> dict[str, Any]:
    """How each column of the list is shown; numbers of four digits unless they are counts."""
    number = st.column_config.NumberColumn
    own = {
        "score": number("score", format="%.4f", help=term("score"), width="small"),
        "preview": st.column_config.TextColumn("instruction", width="medium"),
        "entropy_drop": number("entropy drop", format="%.4f", help=term("entropy_drop")),
        "nll_drop": number("NLL drop", format="%.4f", help=term("nll_drop")),
        "n_tokens": number("tokens", format="localized", help=term("tokens"), width="small"),
        "source": st.column_config.TextColumn("source"),
        "reason": st.column_config.TextColumn("reason"),
    }
    return {name: own.get(name) or number(name.replace("_", " "), format="%.4g") for name in names}


def sample_card(selection: Selection) -> None:
    """The opened sample as a conversation, why it is kept or dropped, and its numbers."""
    opened = state().sample
    row = None if opened is None else selection.ids.find(opened)
    if opened is None or row is None:
        st.info("Click a row to read the sample.", icon=":material/info:")
        return
    sample = data.sample(selection.run.pool, opened)
    kept = bool(selection.subset.mask[row])
    with st.container(border=True, key="card"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("kept" if kept else "dropped", color="primary" if kept else "gray")
            st.caption(f"{label(sample.source)} · {sample.sample_id}", width="content")
            st.space("stretch")
            st.page_link("pages/reader.py", label="Reader", icon=":material/article:")
        st.caption(label(_why(selection, row)))
        conversation(sample.turns, rendered=False)
        _numbers(selection, row)
        shown = {k: v for k, v in sample.meta.items() if v not in (None, "")}
        if shown:
            with st.expander("Meta columns"):
                st.json(shown)


def _why(selection: Selection, row: int) -> str:
    """`kept: rank 3 of 128`, or the reason it was dropped."""
    reason = str(selection.subset.names[int(selection.subset.code[row])])
    place = rank(selection, row)
    return f"{reason} · rank {place[0]:,} of {place[1]:,}" if place else reason


def _numbers(selection: Selection, row: int) -> None:
    """Base and calibrated values side by side, in nats per response token."""
    c = selection.columns
    if not {"base_nll", "calibrated_nll", "base_entropy", "calibrated_entropy"} <= set(c):
        return
    table = pd.DataFrame(
        {
            "": ["entropy", "NLL"],
            "base": [c["base_entropy"][row], c["base_nll"][row]],
            "calibrated": [c["calibrated_entropy"][row], c["calibrated_nll"][row]],
            "drop": [c["entropy_drop"][row], c["nll_drop"][row]],
        }
    )
    formats = {n: st.column_config.NumberColumn(format="%.4f") for n in table.columns[1:]}
    sheet(table, hide_index=True, column_config=formats)
    st.caption("nats per response token")
