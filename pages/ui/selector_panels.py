"""Every way to choose by the queries, side by side. Another selector may come nearer."""

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core import coverage
from core.distances import Measure
from core.selection import Selection
from pages.ui import data_gradients
from pages.ui.charts import selectors
from pages.ui.glossary import term
from pages.ui.panels import chart, palette

MEASURES: tuple[Measure, ...] = ("transport", "nearest")
RECIPE = "this recipe"


@st.fragment
def compared(selection: Selection, own: Selection) -> None:
    """Distance to the query set by budget, and the samples that selectors share."""
    st.subheader("Would another selector come nearer?", anchor=False)
    st.segmented_control(
        "Distance", MEASURES, default="transport", key="gradients_measure", help=term("distance")
    )
    asked = st.session_state["gradients_measure"]
    measure: Measure = "nearest" if asked == "nearest" else "transport"
    left, right = st.columns([6, 6], gap="large")
    with left:
        chart(
            "Distance to the query set, by budget",
            lambda: selectors.distances(
                *data_gradients.approach(selection, own, measure), palette(), RECIPE
            ),
            "gradients_distance",
            empty="No sample passes the rules, so nothing can be chosen.",
            about=term("selector"),
        )
    with right:
        chart(
            "Samples that they share at this budget",
            lambda: selectors.overlap(*_shared(selection, own), palette()),
            "gradients_overlap",
            empty="No sample passes the rules, so nothing can be shared.",
            about=term("jaccard"),
        )
    for name, choice in data_gradients.chosen(selection, own).items():
        if choice.left_out:
            st.caption(f"{_words(name)} is not drawn: {choice.left_out}.")
    st.caption(
        "Lower is nearer. Random: 20 draws. Rules, near-duplicates and quotas hold for all; what is"
        " kept by hand for this recipe alone. A transport counts at most 1,024 samples, evenly"
        " taken, and 128 queries."
    )


def _shared(selection: Selection, own: Selection) -> tuple[NDArray[np.float64], list[str]]:
    """Jaccard of the recipe and of each selector, and their names."""
    picked = {
        _words(name): choice.rows
        for name, choice in data_gradients.chosen(selection, own).items()
        if choice.rows is not None and len(choice.rows)
    }
    rows = {RECIPE: selection.subset.chosen} | picked if picked else {}
    return coverage.jaccard(list(rows.values()), selection.subset.n), list(rows)


def _words(name: str) -> str:
    return name.replace("_", " ")
