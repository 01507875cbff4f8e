"""The Divergence page's own widgets: the weight, the ranking, and rules by a box."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core import iso_lines
from core.methods import catalogue
from core.recipe import Recipe
from core.rules import Range
from core.selection import Selection
from core.store.maps import Of
from pages.ui.charts import FloatN
from pages.ui.charts.divergence import Line
from pages.ui.glossary import term
from pages.ui.map_panel import map_panel
from pages.ui.panels import OnBox
from pages.ui.state import show, state

METHOD = "answer_divergence"
KEY = "divergence_weight"
LAYOUTS = ("instructions", "answers")
COLOURS = {"divergence": "score", "dispersion": "dispersion", "anisotropy": "anisotropy"}


@dataclass(frozen=True)
class View:
    """Divergence under the weight that the slider shows, and its lines of equal score."""

    score: FloatN
    lines: tuple[Line, ...]
    run: str  # of the rules made here: empty where the recipe ranks by this run
    stored: bool  # the score is the one that rules on it compare with


def view(selection: Selection, own: Selection) -> View:
    """The weight's slider, and what follows from where it stands."""
    ranks = own.run.run_id == selection.run.run_id
    left, right = st.columns([3, 2], gap="large", vertical_alignment="bottom")
    with left:
        weight = _slider(own, ranks)
    with right:
        _ranking(own, weight, ranks)
    params = own.run.params | own.recipe.params
    score, lines = iso_lines.weighted(
        own.columns["dispersion"],
        own.columns["anisotropy"],
        np.isfinite(own.scores.value),
        weight,
        params["mixing"],
    )
    named = tuple(Line(x.dispersion, x.anisotropy, f"best {x.share:.0%}") for x in lines)
    stored = ranks or abs(weight - own.run.params["weight"]) < 1e-9
    return View(score, named, "" if ranks else own.run.run_id, stored)


def _slider(own: Selection, ranks: bool) -> float:
    """λ: a live knob of the recipe that ranks by this run, else of this page alone."""
    now = float((own.run.params | own.recipe.params)["weight"])

    def move() -> None:
        weight = float(st.session_state[KEY])
        others = {k: v for k, v in own.recipe.params.items() if k != "weight"}
        same = abs(weight - own.run.params["weight"]) < 1e-9
        state().change(params=others if same else others | {"weight": weight})

    if ranks:
        show(KEY, now)
    else:
        st.session_state.setdefault(KEY, now)
    label = "λ, the weight of anisotropy against dispersion"
    help_ = term("lambda")
    moved = move if ranks else None
    return float(
        st.slider(label, 0.0, 1.0, step=0.05, format="%.2f", key=KEY, help=help_, on_change=moved)
    )


def _ranking(own: Selection, weight: float, ranks: bool) -> None:
    """What the weight does, and the way to a recipe that ranks by divergence."""
    if ranks:
        st.caption("λ ranks the samples anew, and so changes what is kept.")
        return
    st.caption("The recipe ranks by another method: λ changes what this page shows, not the rest.")

    def begin() -> None:
        recipe = state().recipe
        own_weight = {} if weight == own.run.params["weight"] else {"weight": weight}
        state().take(
            Recipe(
                pool=own.run.pool,
                method=METHOD,
                run_id=own.run.run_id,
                params=own_weight,
                policy=catalogue()[METHOD].policy,
                budget="10%" if recipe is None else recipe.budget,
            )
        )

    st.button("Rank by this method", key="divergence_rank", on_click=begin)


def coloured_map(own: Selection, shown: View) -> None:
    """The samples laid out by what they ask or by what is answered, coloured by divergence."""
    with st.container(horizontal=True):
        of = st.segmented_control(
            "Laid out by", LAYOUTS, default=LAYOUTS[0], key="divergence_of", required=True
        )
        by = st.segmented_control(
            "Coloured by", list(COLOURS), default="divergence", key="divergence_by", required=True
        )
    named = "score" if by == "divergence" and shown.stored else str(by)
    values = shown.score if by == "divergence" else own.columns[str(by)]
    layout: Of = "answers" if of == "answers" else "instructions"
    map_panel(own, layout, named, values, "divergence", about=term(COLOURS[str(by)]), height=400)


def box_rules(run: str) -> OnBox:
    """A box on the plane makes a range on either axis, in one step."""

    def make(x0: float, x1: float, y0: float, y1: float) -> None:
        recipe = state().recipe
        if recipe is None:
            return
        ends = {"dispersion": (x0, x1), "anisotropy": (y0, y1)}
        new = [
            Range(column=name, low=float(f"{low:.5g}"), high=float(f"{high:.5g}"), run=run)
            for name, (low, high) in ends.items()
        ]
        rules = {r.slot: r for r in recipe.rules} | {r.slot: r for r in new}
        state().change(rules=tuple(rules.values()))

    return make
