"""The Reader: a queue to go through, the sample as a conversation, and why it is in or out."""

import numpy as np
import streamlit as st

from core.domain import IntN
from core.selection import Selection
from core.trace import Decided, Step, headline, trace
from pages.ui import data, data_reader
from pages.ui.chat import conversation
from pages.ui.glossary import term
from pages.ui.prose import label
from pages.ui.state import state

QUEUES = {"kept": "Kept", "dropped": "Dropped", "found": "Found", "audit": "Audit"}
AUDIT = "reader_audit"  # set by the Audit page: the name of its queue, and the ids
MARKS = {True: ":material/check_circle:", False: ":material/cancel:", None: ":material/remove:"}


def queue(selection: Selection) -> IntN:
    """The samples to go through, as chosen: kept, dropped, found by a text, or an audit's."""
    with st.container(horizontal=True, vertical_alignment="center", key="reader_head"):
        audit = [selection.ids.find(i) for i in st.session_state.get(AUDIT, ("", ()))[1]]
        names = [name for name in QUEUES if name != "audit" or audit]
        if st.session_state.get("reader_queue") not in names:
            st.session_state["reader_queue"] = names[0 if len(selection.subset.chosen) else 1]
        chosen = st.segmented_control(
            "Queue",
            names,
            key="reader_queue",
            format_func=QUEUES.__getitem__,
            required=True,
            label_visibility="collapsed",
        )
        if chosen == "found":
            text = st.text_input(
                "Text to find",
                key="reader_find",
                placeholder="A text in any turn",
                label_visibility="collapsed",
                max_chars=500,
                width=260,
            )
            return data_reader.hits(selection, text.strip()) if text.strip() else np.arange(0)
    if chosen == "audit":
        return np.array([row for row in audit if row is not None], np.int64)
    return data_reader.order(selection, "dropped" if chosen == "dropped" else "kept")


def audit_queue() -> str:
    """The name of the audit that the samples are read for, empty for other queues."""
    name, _ = st.session_state.get(AUDIT, ("", ()))
    return str(name) if st.session_state.get("reader_queue") == "audit" else ""


def steps(selection: Selection, rows: IntN) -> int | None:
    """Where the opened sample stands in the queue, with keys to go on; returns its position.

    The first of the queue is opened where none is, or an unknown one.
    """
    opened = state().sample
    row = None if opened is None else selection.ids.find(opened)
    if opened is not None and row is None:
        st.warning("The opened sample is not in this pool.", icon=":material/link_off:")
    if row is None and len(rows):
        row = int(rows[0])
        state().open(selection.ids[row])
    at = np.flatnonzero(rows == row)
    here = int(at[0]) if len(at) else None
    with st.container(horizontal=True, vertical_alignment="center", key="reader_steps"):
        _step("Previous", "K", selection, rows, None if here is None else here - 1)
        _step("Next", "J", selection, rows, 0 if here is None else here + 1)
        if not len(rows):
            st.caption(_empty())
        elif here is None:
            st.caption(f"The opened sample is not among these {len(rows):,}.")
        else:
            st.caption(f"**{here + 1:,}** of {len(rows):,}")
    return row


def _step(text: str, key: str, selection: Selection, rows: IntN, to: int | None) -> None:
    there = to is not None and 0 <= to < len(rows)
    st.button(
        text,
        key=f"reader_{text.lower()}",
        shortcut=key,
        disabled=not there,
        on_click=state().open,
        args=(selection.ids[int(rows[to])] if there and to is not None else None,),
    )


def _empty() -> str:
    if st.session_state.get("reader_queue") == "found":
        text = str(st.session_state.get("reader_find", "")).strip()
        return "No sample has this text in a turn." if text else "Type a text to find samples."
    return "No sample is on this side of the recipe."


def card(selection: Selection, row: int) -> None:
    """The sample as a conversation, with markdown drawn or as plain characters."""
    sample = data.sample(selection.run.pool, selection.ids[row])
    with st.container(border=True, key="reader_card"):
        with st.container(horizontal=True, vertical_alignment="center"):
            kept = bool(selection.subset.mask[row])
            st.badge("kept" if kept else "dropped", color="primary" if kept else "gray")
            st.caption(f"{label(sample.source)} · {sample.sample_id}", width="content")
            st.space("stretch")
            plain = st.toggle("Plain text", key="reader_plain", help=term("plain"))
        conversation(sample.turns, rendered=not plain)
        shown = {k: v for k, v in sample.meta.items() if v not in (None, "")}
        if shown:
            with st.expander("Meta columns"):
                st.json(shown)


def fate(selection: Selection, row: int) -> None:
    """Why the sample is kept or dropped, step by step, and what a hand can do about it."""
    pinned = _pinned(selection, row)
    decided = Decided(
        selection.recipe,
        selection.scores,
        selection.subset,
        selection.columns,
        selection.source,
        selection.sources,
        data_reader.numbers(selection, row),
        data_reader.hands(selection),
    )
    st.markdown("**Why**", help=term("trace"))
    st.markdown(f"##### {label(headline(decided, row, pinned))}", anchors=False)
    st.markdown("  \n".join(_line(step) for step in trace(decided, row, pinned)))
    _hand(selection.ids[row], pinned)


def _line(step: Step) -> str:
    return f"{MARKS[step.passed]} {label(step.name)} · :gray[{label(step.detail)}]"


def _pinned(selection: Selection, row: int) -> bool | None:
    sample_id = selection.ids[row]
    return next((p.keep for p in selection.recipe.pins if p.sample_id == sample_id), None)


def _hand(sample_id: str, pinned: bool | None) -> None:
    """Keep by hand, drop by hand, or leave it to the recipe."""
    pin = state().pin
    with st.container(horizontal=True, gap="small"):
        if pinned is not True:
            args = {"on_click": pin, "args": (sample_id, True), "icon": ":material/keep:"}
            st.button("Keep by hand", key="reader_keep", **args)  # type: ignore[arg-type]
        if pinned is not False:
            args = {"on_click": pin, "args": (sample_id, False), "icon": ":material/block:"}
            st.button("Drop by hand", key="reader_drop", **args)  # type: ignore[arg-type]
        if pinned is not None:
            args = {"on_click": pin, "args": (sample_id, None), "icon": ":material/keep_off:"}
            st.button("Unpin", key="reader_unpin", **args)  # type: ignore[arg-type]
