"""Recipe: budget, policy, rules and knobs; what each step removes, and how fragile that is."""

import streamlit as st

from pages.ui import cards, recipe_form, recipe_parts, recipe_rules, recipe_saved, recipe_views
from pages.ui.frame import need_selection, open_page
from pages.ui.glossary import term

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
with right:
    recipe_views.waterfall(selection)
    st.markdown("**Saved recipes**")
    recipe_saved.saved(selection)

st.subheader("Rules", anchor=False, help=term("rule"))
left, right = st.columns([3, 2], gap="large")
with left:
    recipe_rules.column_rule(selection)
with right:
    values, text, duplicates, quotas, pins = st.tabs(
        ["Sources", "Text", "Near-duplicates", "Quotas", "By hand"]
    )
    with values:
        recipe_rules.among(selection)
    with text:
        recipe_rules.search(selection)
    with duplicates:
        recipe_parts.duplicates(selection)
    with quotas:
        recipe_parts.quotas(selection)
    with pins:
        recipe_parts.pins(selection)

fragile = st.container()
st.subheader("Beside a random draw", anchor=False, help=term("matched"))
recipe_views.beside_random(selection)
st.divider()
left, right = st.columns([3, 2], gap="large")
with left:
    cards.sample_list(selection, "recipe")
with right:
    cards.sample_card(selection)
with fragile:
    st.subheader("How fragile is that?", anchor=False, help=term("fragility"))
    recipe_views.fragility(selection)
