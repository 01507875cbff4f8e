"""Divergence: where do repeated answers disagree, and how?"""

import streamlit as st

from pages.ui import cards, drawn_answers
from pages.ui import divergence_panels as panels
from pages.ui.charts import divergence
from pages.ui.frame import need_method, need_selection, open_page
from pages.ui.glossary import term
from pages.ui.panels import chart, open_sample, palette
from pages.ui.state import state

open_page("Divergence")
own = need_method(need_selection(), panels.METHOD)
view = panels.view(own)

left, right = st.columns([6, 5], gap="large")
with left:
    panels.coloured_map(own, view)
with right:
    chart(
        "Dispersion and anisotropy",
        lambda: divergence.spread(
            own.columns["dispersion"],
            own.columns["anisotropy"],
            own.subset.mask,
            view.lines,
            own.ids.find(state().sample or ""),
            palette(),
        ),
        "divergence_spread",
        empty="No sample has enough answers with content. See the reasons on Overview.",
        about=term("dispersion"),
        on_box=panels.box_rules(view.run),
        on_click=open_sample(own),
    )
drawn_answers.panel(own)

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(own, "divergence")
with right:
    cards.sample_card(own)
