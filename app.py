"""Overview: what is in the pool, what is scored, what would be kept."""

import streamlit as st

from pages.ui import overview, score_health, sources, story
from pages.ui.charts import bars
from pages.ui.frame import need_selection, open_page
from pages.ui.glossary import term
from pages.ui.panels import chart, palette

open_page("Overview")
selection = need_selection()

overview.sentence(selection)
overview.numbers(selection)

left, right = st.columns([3, 2], gap="large")
with left:
    chart(
        "Kept by source",
        lambda: bars.shares(*sources.shares(selection), palette()),
        "overview_sources",
        empty="The pool has no sources.",
        about=term("matched"),
        on_click=sources.keep_only(selection),
    )
    st.caption("Click a bar to keep only that source.")
with right:
    overview.reasons(selection)
    story.offer(selection)

st.subheader("The scores", anchor=False, help=term("score"))
overview.scores(selection)
st.subheader("Can they be trusted?", anchor=False, help=term("health"))
score_health.table(selection)
