"""Recipe: budget, policy, live knobs, and what each step removes."""

import streamlit as st

from pages.ui import cards, recipe_form
from pages.ui.charts import bars
from pages.ui.frame import need_selection, open_page
from pages.ui.glossary import term
from pages.ui.panels import chart, palette

open_page("Recipe")
selection = need_selection()

left, right = st.columns([2, 3], gap="large")
with left:
    st.markdown("**Budget**", help=term("budget"))
    recipe_form.budget(selection)
    st.markdown("**Policy**", help=term("policy"))
    recipe_form.policy(selection)
    st.markdown("**Ranking**", help=term("score"))
    recipe_form.live_knobs(selection)
    st.caption(f"recipe {selection.recipe.key} on run {selection.run.run_id[:8]}")
with right:
    chart(
        "What is left after each step",
        lambda: bars.waterfall(*recipe_form.steps(selection), palette()),
        "recipe_waterfall",
        empty="The pool holds no samples.",
    )

st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(selection, "recipe")
with right:
    cards.sample_card(selection)
