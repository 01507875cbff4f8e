"""Pages that show one method whatever the recipe ranks by: what they say, and the way over."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import streamlit as st

from core.methods import catalogue
from core.recipe import Recipe
from core.rules import Among, Range, Rule
from core.selection import Selection
from pages.ui.state import state
from pages.ui.thresholds import run_of

OF_SAMPLES = ("n_chars", "n_turns")
NONE: Mapping[str, Any] = MappingProxyType({})


def offer(selection: Selection, key: str, params: Mapping[str, Any] = NONE) -> None:
    """Say it when the recipe ranks by another run than the one shown, and offer this one.

    `params`: live knobs that a recipe on this run begins with.
    """
    recipe = state().recipe
    if recipe is None or not run_of(selection):
        return
    mine, shown = catalogue()[recipe.method].title, catalogue()[selection.run.method].title
    said, way = st.columns([5, 2], vertical_alignment="center")
    said.markdown(
        f":material/info: The recipe ranks by **{mine.lower()}**; this page shows {shown.lower()}."
        " Blue is what the recipe keeps, and rules that are made here join it."
    )
    way.button(
        "Rank by this method",
        key=f"{key}_rank",
        icon=":material/swap_vert:",
        on_click=rank_by,
        args=(selection, params),
        width="stretch",
    )


def rank_by(selection: Selection, params: Mapping[str, Any] = NONE) -> None:
    """Rank by the run that is shown, under its method's own policy; undo brings back the old one.

    Rules stay; those on a column of the old run now name that run. Its groups go.
    """
    here, run = state(), selection.run
    if here.recipe is None:
        return
    old = here.recipe
    found = (_carried(rule, old.run_id, run.run_id) for rule in old.rules)
    changed = {
        "method": run.method,
        "run_id": run.run_id,
        "params": dict(params),
        "policy": catalogue()[run.method].policy,
        "policy_params": {},
        "rules": tuple(rule.model_dump() for rule in found if rule is not None),
    }
    here.take(Recipe.load(old.model_dump() | changed))


def _carried(rule: Rule, old: str, new: str) -> Rule | None:
    """A rule as a recipe on another run says it; None where it cannot."""
    if isinstance(rule, Among):
        return None if rule.column == "group" else rule
    if not isinstance(rule, Range) or rule.column in OF_SAMPLES or rule.column[:5] == "meta.":
        return rule
    named = {"": old, new: ""}.get(rule.run, rule.run)
    return rule.model_copy(update={"run": named})
