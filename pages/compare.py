"""Compare: the recipe against another one, or against a random draw."""

import streamlit as st

from pages.ui import cards, differences, rivals
from pages.ui.frame import need_selection, open_page

open_page("Compare")
selection = need_selection()
rival = rivals.choose(selection)

left, right = st.columns([1, 1], gap="large")
with left:
    differences.overlap(selection, rival)
    differences.sources(selection, rival)
with right:
    differences.rankings(selection, rival)
    differences.lengths(selection, rival)
differences.clusters(selection, rival)

st.divider()
differences.exclusive(selection, rival)
cards.sample_card(selection)
