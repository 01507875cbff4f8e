"""Overview: what is in the pool, what is scored, what would be kept."""

import streamlit as st

from pages.ui import overview, sources
from pages.ui.charts import bars, distributions
from pages.ui.frame import need_selection, open_page
from pages.ui.panels import chart, palette

open_page("Overview")
selection = need_selection()

overview.sentence(selection)
overview.numbers(selection)

left, right = st.columns([1, 1], gap="large")
with left:
    chart(
        "Kept by source",
        lambda: bars.shares(*sources.shares(selection), palette()),
        "overview_sources",
        empty="The pool has no sources.",
    )
with right:
    chart(
        "Score",
        lambda: distributions.histogram(
            selection.scores.value, selection.subset.mask, (), "score", palette()
        ),
        "overview_score",
        empty="No sample has a score. See the reasons below.",
    )
    overview.reasons(selection)
