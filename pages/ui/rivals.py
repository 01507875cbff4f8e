"""Compare: which recipe stands against this one, and the way to change places."""

from dataclasses import dataclass

import streamlit as st

from core.domain import MaskN
from core.methods import catalogue
from core.recipe import Recipe
from core.selection import Selection
from pages.ui import data, data_baseline, data_people
from pages.ui.prose import sentence
from pages.ui.state import show, state

RANDOM = "random"
LINKED = "linked"


@dataclass(frozen=True)
class Rival:
    """The other side: `mask` (n,) of what it keeps; `selection` is None for a random draw."""

    name: str
    mask: MaskN
    selection: Selection | None


def choose(selection: Selection) -> Rival:
    """The widget that says who B is, and B."""
    here = state()
    offered = _offered(selection)
    if here.rival is not None and here.rival.pool != selection.run.pool:
        here.rival = None
    now = _key(here.rival, offered)
    known = dict(offered)
    if now == LINKED and here.rival is not None:
        known[LINKED] = (f"recipe {here.rival.key}", here.rival)

    def change() -> None:
        here.rival = known[st.session_state["compare_rival"]][1]

    show("compare_rival", now)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "A is the recipe of the bar. B is",
            list(known),
            key="compare_rival",
            format_func=lambda key: known[key][0],
            on_change=change,
        )
        _changing_places(selection.recipe, here.rival)
    return _met(selection, here.rival, known[now][0])


def _offered(selection: Selection) -> dict[str, tuple[str, Recipe | None]]:
    """Who can be B: the matched random draw, saved recipes, the pool's other runs."""
    pool, budget = selection.run.pool, selection.recipe.budget
    offered: dict[str, tuple[str, Recipe | None]] = {
        RANDOM: ("a random draw of the same size and length", None)
    }
    for name in data_people.saved_recipes(pool)["name"].tolist():
        offered[f"saved {name}"] = (f"saved: {name}", data_people.saved_recipe(name))
    runs = data.scored(pool)
    for run_id, method in zip(runs["run_id"], runs["method"].astype(str), strict=True):
        if run_id == selection.run.run_id or method not in catalogue():
            continue
        card = catalogue()[method]
        recipe = Recipe(pool=pool, method=method, run_id=run_id, policy=card.policy, budget=budget)
        offered[f"run {run_id}"] = (f"{card.title} · {run_id[:6]}, {budget}", recipe)
    return offered


def _key(rival: Recipe | None, offered: dict[str, tuple[str, Recipe | None]]) -> str:
    if rival is None:
        return RANDOM
    return next((key for key, (_, recipe) in offered.items() if recipe == rival), LINKED)


def _changing_places(recipe: Recipe, rival: Recipe | None) -> None:
    here = state()

    def swap() -> None:
        if here.rival is not None:
            here.rival, wanted = recipe, here.rival
            here.take(wanted)

    def use() -> None:
        if here.rival is not None:
            here.take(here.rival)

    none = rival is None
    why = "A random draw is no recipe; choose the method Random" if none else ""
    st.button(
        "Swap",
        key="compare_swap",
        icon=":material/swap_horiz:",
        on_click=swap,
        disabled=none,
        help=why or "A becomes B, and B becomes A",
    )
    st.button(
        "Use B",
        key="compare_use",
        icon=":material/check:",
        on_click=use,
        disabled=none,
        help=why or "B becomes the recipe; undo brings A back",
    )


def _met(selection: Selection, rival: Recipe | None, name: str) -> Rival:
    """B with what it keeps; one that cannot be applied is told, and random stands in."""
    if rival is not None:
        refused = data.refusal(rival)
        if not refused:
            found = data.select(rival)
            return Rival(name, found.subset.mask[: selection.subset.n], found)
        st.warning(sentence(f"{refused} A random draw stands in."), icon=":material/warning:")
    return Rival("a matched random draw", data_baseline.matched_random(selection), None)
