"""The Divergence page's own widgets: the weight, the ranking, and rules by a box."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core import iso_lines
from core.rules import Range
from core.selection import Selection
from core.store.maps import Of
from pages.ui import ranking
from pages.ui.charts import FloatN
from pages.ui.charts.divergence import Line
from pages.ui.glossary import term
from pages.ui.map_panel import map_panel
from pages.ui.panels import OnBox, five
from pages.ui.state import show, state
from pages.ui.thresholds import add_rules, run_of

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


def view(own: Selection) -> View:
    """The weight's slider, and what follows from where it stands."""
    run, params = run_of(own), own.run.params | own.recipe.params
    weight = _slider(own, float(params["weight"]), ranks=not run)
    stored = abs(weight - own.run.params["weight"]) < 1e-9
    ranking.offer(own, "divergence", {} if stored else {"weight": weight})
    score, lines = iso_lines.weighted(
        own.columns["dispersion"],
        own.columns["anisotropy"],
        np.isfinite(own.scores.value),
        weight,
        params["mixing"],
    )
    named = tuple(Line(x.dispersion, x.anisotropy, f"best {x.share:.0%}") for x in lines)
    return View(score, named, run, stored or not run)


def _slider(own: Selection, now: float, ranks: bool) -> float:
    """λ: a live knob of the recipe that ranks by this run, else of this page alone."""

    def move() -> None:
        state().turn(own.run.params, weight=float(st.session_state[KEY]))

    if ranks:
        show(KEY, now)
    else:
        st.session_state.setdefault(KEY, now)
    left, right = st.columns([3, 2], gap="large", vertical_alignment="bottom")
    moved = left.slider(
        "λ, the weight of anisotropy against dispersion",
        0.0,
        1.0,
        step=0.05,
        format="%.2f",
        key=KEY,
        help=term("lambda"),
        on_change=move if ranks else None,
    )
    right.caption(
        "λ ranks the samples anew, and so changes what is kept."
        if ranks
        else "λ changes the scores that this page shows, not what the recipe keeps."
    )
    return float(moved)


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
        ends = {"dispersion": (x0, x1), "anisotropy": (y0, y1)}
        rules = (
            Range(column=name, low=five(low), high=five(high), run=run)
            for name, (low, high) in ends.items()
        )
        add_rules(*rules)

    return make
