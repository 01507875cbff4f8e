"""The bar at the head of every page: what the recipe keeps, and how to take it back."""

import streamlit as st

from core.selection import Selection
from pages.ui.glossary import term
from pages.ui.state import state


def recipe_bar(selection: Selection) -> None:
    """What the recipe keeps, a chip for each rule and changed knob, undo and redo."""
    here, subset = state(), selection.subset
    kept, n = len(subset.chosen), subset.n
    with st.container(border=True, key="frame_bar", horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{kept:,}** of {n:,} kept ({100 * kept / n:.1f} %), "
            f"{subset.tokens:,} response tokens",
            width="content",
            help=term("recipe"),
        )
        st.badge(f"budget {selection.recipe.budget}", color="gray", help=term("budget"))
        policy = selection.recipe.policy.replace("_", " ")
        st.badge(f"policy {policy}", color="gray", help=term("policy"))
        for rule in selection.recipe.rules:
            st.button(
                str(rule),
                key=f"frame_rule_{rule.column}",
                icon=":material/close:",
                icon_position="right",
                help="Remove this rule",
                on_click=here.set_rule,
                args=(None, rule.column),
            )
        for name, value in selection.recipe.params.items():
            others = {k: v for k, v in selection.recipe.params.items() if k != name}
            st.button(
                f"{name.replace('_', ' ')} {value:.2g}"
                if isinstance(value, float)
                else f"{name.replace('_', ' ')} {value}",
                key=f"frame_param_{name}",
                icon=":material/close:",
                icon_position="right",
                help="Back to the run's own value",
                on_click=here.change,
                kwargs={"params": others},
            )
        st.space("stretch")
        st.button(
            "",
            icon=":material/undo:",
            key="frame_undo",
            help="Undo the last change",
            type="tertiary",
            disabled=not here.past,
            on_click=here.undo,
        )
        st.button(
            "",
            icon=":material/redo:",
            key="frame_redo",
            help="Redo",
            type="tertiary",
            disabled=not here.future,
            on_click=here.redo,
        )
