"""Entropy: base against calibrated, and both differentials with their thresholds."""

import streamlit as st

from pages.ui import cards, entropies, ranking, sources, thresholds, trim
from pages.ui.frame import need_method, need_selection, open_page
from pages.ui.glossary import term

open_page("Entropy")
shown = need_method(need_selection(), "differential_entropy")
ranking.offer(shown, "entropy")

left, right = st.columns([6, 5], gap="large")
with left:
    entropies.plane(shown)
with right:
    trim.panel(shown)
    thresholds.column_panel(
        shown,
        "entropy_drop",
        "Entropy drop",
        "nats per response token",
        "entropy_drop",
        about=term("entropy_drop"),
        empty="No sample has an entropy under both models.",
    )

st.markdown("**By source**", help=term("kept"))
sources.table(shown, "nll_drop", "entropy_drop")

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(shown, "entropy")
with right:
    cards.sample_card(shown)
