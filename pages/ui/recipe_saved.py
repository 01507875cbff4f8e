"""Saved recipes on the Recipe page: open one, compare with it, go back to an old version."""

import pandas as pd
import streamlit as st

from core.errors import SFTLensError
from core.selection import Selection
from pages.ui import data, data_people, rights
from pages.ui.prose import sentence
from pages.ui.sheets import sheet
from pages.ui.state import state

RESTORES = "Saves it again as the newest version; nothing is lost"
SHOWN = ["name", "version", "note", "author", "saved"]


def saved(selection: Selection) -> None:
    """The list of names, and what can be done with the one that is picked."""
    frame = data_people.saved_recipes(selection.run.pool)
    if told := st.session_state.pop("recipe_saved_told", ""):
        st.success(sentence(told), icon=":material/check_circle:")
    if refused := st.session_state.pop("recipe_saved_refused", ""):
        st.warning(sentence(refused), icon=":material/warning:")
    if frame.empty:
        st.caption("None yet. The bookmark in the bar saves this one under a name.")
        return
    names = frame["name"].tolist()
    now = {key: name for key, name in zip(frame["recipe_key"], names, strict=True)}
    if here := now.get(selection.recipe.key):
        st.text(f"This recipe is saved as {here}.")
    picked = sheet(
        _table(frame)[SHOWN],
        hide_index=True,
        key="recipe_saved_list",
        on_select="rerun",
        selection_mode="single-row",
    )
    at = picked["selection"]["rows"]
    if not at or at[0] >= len(names):
        st.caption("Click a row to open it, to compare with it, or to see its history.")
        return
    _actions(names[at[0]])
    _history(names[at[0]])


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(saved=frame["created_at"].dt.strftime("%Y-%m-%d %H:%M"))


def _actions(name: str) -> None:
    with st.container(horizontal=True):
        st.button(
            "Open",
            key="recipe_saved_open",
            icon=":material/folder_open:",
            type="primary",
            on_click=_open,
            args=(name, None),
            help="Undo brings back the present recipe",
        )
        if st.button("Compare with it", key="recipe_saved_rival", icon=":material/compare_arrows:"):
            state().rival = data_people.saved_recipe(name)
            st.switch_page("pages/compare.py")


def _open(name: str, version: int | None) -> None:
    recipe = data_people.saved_recipe(name, version)
    if refused := data.refusal(recipe):
        st.session_state["recipe_saved_refused"] = refused
    else:
        state().take(recipe)


def _history(name: str) -> None:
    """Every version; restoring one saves it again as the newest."""
    frame = data_people.recipe_history(name)
    with st.expander(f"History: {len(frame):,} version{'s' * (len(frame) != 1)}"):
        for row in _table(frame).to_dict("records"):
            version = int(row["version"])
            with st.container(horizontal=True, vertical_alignment="center"):
                said = f"{version} · {row['saved']} · {row['recipe_key']} {row['note']}"
                st.text(said, width="stretch")
                st.button(
                    "Open", key=f"recipe_open_{version}", on_click=_open, args=(name, version)
                )
                st.button(
                    "Restore",
                    key=f"recipe_restore_{version}",
                    on_click=_restore,
                    args=(name, version),
                    **rights.lock("recipe", RESTORES, disabled=version == len(frame)),
                )


def _restore(name: str, version: int) -> None:
    try:
        recipe = data_people.saved_recipe(name, version)
        note = f"restored version {version}"
        told = data_people.save_recipe(name, recipe, note, state().reviewer)
    except SFTLensError as error:
        st.session_state["recipe_saved_refused"] = str(error)
        return
    st.session_state["recipe_saved_told"] = told
    _open(name, None)
