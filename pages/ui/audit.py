"""The Audit: which samples to judge, and the one whose turn it is."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.audit import STRATA, Queue
from core.selection import Selection
from pages.ui import data, data_audit, reader
from pages.ui.chat import conversation
from pages.ui.glossary import term
from pages.ui.prose import label
from pages.ui.state import state
from pages.ui.verdict_bar import said, verdict_bar

SIZES = {"kept": 20, "dropped": 20, "borderline": 10, "disagreement": 10}
TITLES = {
    "kept": "Kept, at random",
    "dropped": "Dropped, at random",
    "borderline": "Nearest the budget line",
    "disagreement": "Where methods disagree",
}


def settings() -> tuple[dict[str, int], int]:
    """How many samples of each kind, and the seed of the draw."""
    with st.expander("What is judged", icon=":material/tune:"):
        columns = st.columns(len(STRATA) + 1)
        wanted = {
            name: int(
                column.number_input(
                    TITLES[name],
                    0,
                    500,
                    SIZES[name],
                    key=f"audit_{name}",
                    help=term("strata"),
                    persist_state="session",
                )
            )
            for name, column in zip(STRATA, columns, strict=False)
        }
        seed = columns[-1].number_input(
            "Seed", 0, 2**31 - 1, 0, key="audit_seed", persist_state="session"
        )
        st.caption(
            "The draw follows from seed and recipe: the same again gives the same samples, and a"
            " larger number goes on where a smaller one ended."
        )
    return wanted, int(seed)


@st.fragment
def judge(selection: Selection, queue: Queue, name: str) -> None:
    """The sample whose turn it is, with the verdict's buttons; `name` is the queue's."""
    ids = list(selection.ids[queue.rows])
    marks = data_audit.verdicts(selection.run.pool).get(state().reviewer, {})
    done = sum(i in marks for i in ids)
    st.progress(done / len(ids), text=f"{done:,} of {len(ids):,} judged by you")
    at = _turn(ids, marks)
    state().open(ids[at])
    left, right = st.columns([3, 2], gap="large")
    with right:
        blind = st.toggle(
            "Blind", True, key="audit_blind", help=term("blind"), persist_state="session"
        )
        _steps(ids, at)
        verdict_bar(
            selection.run.pool, ids[at], "audit", queue=name, then=lambda: _advance(ids, at)
        )
        if done == len(ids):
            st.success("You have judged all of this queue.", icon=":material/check_circle:")
        if not blind:
            st.caption(f"{TITLES[STRATA[queue.stratum[at]]]} · a queue of {len(ids):,}")
            said(selection.run.pool, ids[at])
            reader.fate(selection, int(queue.rows[at]))
        _to_reader(ids, name)
    with left:
        _card(selection, ids[at], blind)


def _turn(ids: Sequence[str], marks: Mapping[str, str]) -> int:
    """The position that was gone to, else the first without a verdict of this reviewer."""
    chosen = st.session_state.get("audit_at")
    if chosen in ids:
        return ids.index(chosen)
    return next((k for k, i in enumerate(ids) if i not in marks), 0)


def _steps(ids: Sequence[str], at: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        for text, key, to in (("Previous", "K", at - 1), ("Next", "J", at + 1)):
            there = 0 <= to < len(ids)
            st.button(
                text,
                key=f"audit_{text.lower()}",
                shortcut=key,
                disabled=not there,
                on_click=_go,
                args=(ids[to] if there else None,),
            )
        st.caption(f"**{at + 1:,}** of {len(ids):,}")


def _go(sample_id: str | None) -> None:
    st.session_state["audit_at"] = sample_id


def _advance(ids: Sequence[str], at: int) -> None:
    """On to the next sample that this reviewer has not judged, from the beginning at the end."""
    marks = data_audit.verdicts(str(state().pool)).get(state().reviewer, {})
    ahead = [*ids[at + 1 :], *ids[:at]]
    _go(next((i for i in ahead if i not in marks), ids[at]))


def _card(selection: Selection, sample_id: str, blind: bool) -> None:
    sample = data.sample(selection.run.pool, sample_id)
    with st.container(border=True, key="audit_card"):
        with st.container(horizontal=True, vertical_alignment="center"):
            if not blind:
                row = selection.ids.find(sample_id)
                kept = row is not None and bool(selection.subset.mask[row])
                st.badge("kept" if kept else "dropped", color="primary" if kept else "gray")
            st.caption(f"{label(sample.source)} · {sample.sample_id}")
            st.space("stretch")
            plain = st.toggle("Plain text", key="audit_plain", help=term("plain"))
        conversation(sample.turns, rendered=not plain)


def _to_reader(ids: Sequence[str], name: str) -> None:
    if st.button(
        "Read this queue in the Reader",
        key="audit_read",
        icon=":material/article:",
        type="tertiary",
        help="There score and fate stand beside each sample.",
    ):
        st.session_state[reader.AUDIT] = (name, tuple(ids))
        st.session_state["reader_queue"] = "audit"
        st.switch_page("pages/reader.py")
