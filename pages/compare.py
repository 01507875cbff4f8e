"""Compare: the recipe against another one, or against a random draw."""

import streamlit as st

from pages.ui import cards, differences, rivals, shifts
from pages.ui.frame import need_selection, open_page

open_page("Compare")
selection = need_selection()
rival = rivals.choose(selection)

left, right = st.columns([1, 1], gap="large")
with left:
    differences.overlap(selection, rival)
    shifts.sources(selection, rival)
with right:
    differences.rankings(selection, rival)
    differences.lengths(selection, rival)
shifts.clusters(selection, rival)

st.divider()
differences.exclusive(selection, rival)
cards.sample_card(selection)
