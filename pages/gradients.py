"""Gradient map: which samples push toward my target, and which targets are served by none?"""

import streamlit as st

from pages.ui import cards, query_panels, ranking, selector_panels
from pages.ui import gradient_panels as panels
from pages.ui.frame import need_method, need_selection, open_page

open_page("Gradient map")
selection = need_selection()
own = need_method(selection, "gradient_similarity")
ranking.offer(own, "gradients")
view = panels.view(selection, own)
panels.sentence(own, view)

left, right = st.columns([6, 5], gap="large")
with right:
    query = query_panels.one_query(selection, own, view)
with left:
    query_panels.coloured_map(own, view, query)

st.subheader("Which clusters serve which query?", anchor=False)
panels.covered(selection, own, view)
panels.ranked(selection, own, view)
others = st.container()

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(own, "gradients")
with right:
    cards.sample_card(own)
with others:
    selector_panels.compared(selection, own)
