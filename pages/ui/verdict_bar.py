"""Judging a sample: three buttons with keys, a note, and the reviewer's name."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from core import access
from core.verdicts import Verdict
from pages.ui import data_people, data_reader, rights
from pages.ui.glossary import term
from pages.ui.prose import label, sentence
from pages.ui.state import state

BUTTONS: tuple[tuple[Verdict, str, str, str], ...] = (
    ("good", "Good", ":material/thumb_up:", "1"),
    ("unsure", "Unsure", ":material/help:", "2"),
    ("bad", "Bad", ":material/thumb_down:", "3"),
)
ICONS: dict[str, str] = {verdict: icon for verdict, _, icon, _ in BUTTONS}


def verdict_bar(
    pool: str, sample_id: str, key: str, *, queue: str = "", then: Callable[[], None] | None = None
) -> None:
    """Buttons good, unsure, bad (keys 1, 2, 3) with a note; `then` follows a verdict that is kept.

    The name is asked for once in a session, and stands with every verdict.
    """
    named, reason = bool(state().reviewer), rights.why_not("verdict")
    if not named and not reason:
        _ask_name(key)
    own = _own(pool, sample_id)
    note_key = f"{key}_note_{sample_id}"
    with st.container(horizontal=True, gap="small"):
        for verdict, text, icon, digit in BUTTONS:
            st.button(
                text,
                key=f"{key}_{verdict}",
                icon=icon,
                shortcut=digit,
                type="primary" if own == verdict else "secondary",
                **rights.lock(
                    "verdict", None if named else "Say your name first", disabled=not named
                ),
                on_click=_keep,
                args=(pool, sample_id, verdict, note_key, queue, then),
                width="stretch",
            )
    st.text_input(
        "Note", key=note_key, max_chars=1000, placeholder="A note with the verdict (optional)",
        label_visibility="collapsed", disabled=bool(reason),
    )  # fmt: skip
    if refused := st.session_state.pop("verdict_refused", ""):
        st.error(sentence(refused), icon=":material/error:")


def _ask_name(key: str) -> None:
    name = st.text_input(
        "Your name, to judge this sample",
        key=f"{key}_reviewer",
        max_chars=80,
        help=term("reviewer"),
    )
    if name.strip():
        state().reviewer = name.strip()
        st.rerun()


def reviewer_line(key: str) -> None:
    """Who judges, and a way to hand over; or why this person does not."""
    if reason := rights.why_not("verdict"):
        st.caption(reason)
    elif state().reviewer:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"You judge as **{label(state().reviewer)}**.", width="content")
            if not access.person().signed_in:
                st.button(
                    "Somebody else", key=f"{key}_hand_over", type="tertiary", on_click=_hand_over
                )


def _hand_over() -> None:
    state().reviewer = ""


def said(pool: str, sample_id: str) -> None:
    """All verdicts on a sample, one line each."""
    frame = of_sample(pool, sample_id)
    for row in frame.itertuples():
        note = f": {label(str(row.note))}" if row.note else ""
        st.caption(f"{ICONS[str(row.verdict)]} **{label(str(row.reviewer))}** {row.verdict}{note}")


def of_sample(pool: str, sample_id: str) -> pd.DataFrame:
    """The newest verdict of each reviewer on a sample."""
    frame = data_people.reviews(pool)
    return frame[frame["sample_id"] == sample_id]


def _own(pool: str, sample_id: str) -> str:
    frame = of_sample(pool, sample_id)
    mine = frame.loc[frame["reviewer"] == state().reviewer, "verdict"].tolist()
    return str(mine[-1]) if mine else ""


def _keep(
    pool: str,
    sample_id: str,
    verdict: Verdict,
    note_key: str,
    queue: str,
    then: Callable[[], None] | None,
) -> None:
    note = str(st.session_state.get(note_key, ""))
    said = (pool, sample_id, state().reviewer, verdict, note, queue)
    if refused := data_reader.judge(*said):
        st.session_state["verdict_refused"] = refused
        return
    st.toast(f"Noted: {verdict}", icon=ICONS[verdict])
    if then is not None:
        then()
