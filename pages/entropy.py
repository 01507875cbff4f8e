"""Entropy: base against calibrated, and both differentials with their thresholds."""

import streamlit as st

from pages.ui import cards, sources, thresholds
from pages.ui.charts import distributions, entropy
from pages.ui.frame import need_selection, open_page
from pages.ui.glossary import term
from pages.ui.panels import chart, palette

open_page("Entropy")
selection = need_selection()
thresholds.need_columns(selection, "base_entropy", "calibrated_entropy", "nll_drop")
columns, kept = selection.columns, selection.subset.mask

left, right = st.columns([6, 5], gap="large")
with left:
    chart(
        "Entropy of the response, before and after calibration",
        lambda: entropy.entropy_density(
            columns["base_entropy"], columns["calibrated_entropy"], kept, palette()
        ),
        "entropy_density",
        empty="No sample has an entropy under both models.",
        about=term("entropy"),
    )
    st.markdown("**By source**")
    sources.table(selection, "nll_drop", "entropy_drop")
with right:
    chart(
        "NLL drop",
        lambda: distributions.histogram(
            columns["nll_drop"],
            kept,
            thresholds.trim_lines(selection),
            "NLL drop, base − calibrated (nats per response token)",
            palette(),
        ),
        "entropy_nll",
        empty="No sample has an NLL under both models.",
        about=term("nll_drop"),
    )
    thresholds.trim_slider(selection)
    chart(
        "Entropy drop",
        lambda: distributions.histogram(
            columns["entropy_drop"],
            kept,
            thresholds.rule_lines(selection, "entropy_drop"),
            "entropy drop, base − calibrated (nats per response token)",
            palette(),
        ),
        "entropy_drop",
        empty="No sample has an entropy under both models.",
        about=term("entropy_drop"),
    )
    thresholds.rule_slider(selection, "entropy_drop")

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(selection, "entropy")
with right:
    cards.sample_card(selection)
