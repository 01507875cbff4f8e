"""Complexity: entropy by correctness, as a predictor, and in bands."""

import streamlit as st

from pages.ui import answer_panels, answers, cards, ranking
from pages.ui.frame import need_method, need_selection, open_page

open_page("Complexity")
shown = need_method(need_selection(), "answer_entropy")
ranking.offer(shown, "complexity")
found = answers.need_answers(shown)

answers.sentence(found)
left, right = st.columns([6, 5], gap="large")
with left:
    answer_panels.by_correctness(shown, found)
with right:
    st.markdown("**Bands**")
    answers.table(found, shown)
    answer_panels.bounds(shown)
    answers.teacher(found)

left, right = st.columns([1, 1], gap="large")
with left:
    answer_panels.roc(shown, found)
with right:
    answer_panels.reliability(shown, found)

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(shown, "complexity")
with right:
    cards.sample_card(shown)
