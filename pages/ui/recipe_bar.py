"""The bar at the head of every page: what the recipe keeps, and how to take it back."""

import streamlit as st

from core.errors import SFTLensError
from core.selection import Selection
from pages.ui import data_people, rights
from pages.ui.address import link
from pages.ui.glossary import term
from pages.ui.prose import label, sentence
from pages.ui.state import State, state


def recipe_bar(selection: Selection) -> None:
    """What the recipe keeps, a chip for each part that can go, undo, redo, save and a link."""
    here, subset = state(), selection.subset
    kept, n = len(subset.chosen), subset.n
    with st.container(border=True, key="frame_bar", horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{kept:,}** of {n:,} kept ({100 * kept / n:.1f} %), "
            f"{_short(subset.tokens)} response tokens",
            width="content",
            help=term("recipe"),
        )
        st.badge(f"budget {selection.recipe.budget}", color="gray", help=term("budget"))
        policy = selection.recipe.policy.replace("_", " ")
        st.badge(f"policy {policy}", color="gray", help=term("policy"))
        _rules(selection, here)
        _knobs(selection, here)
        _rest(selection, here)
        st.space("stretch")
        _step("undo", "Undo the last change", not here.past, here.undo)
        _step("redo", "Redo", not here.future, here.redo)
        _save(selection)
        _link(selection)


def _short(tokens: int) -> str:
    return f"{tokens:,}" if tokens < 1_000_000 else f"{tokens / 1e6:,.1f}M"


def _chip(text: str, key: str, hint: str, act: object, *args: object, **kwargs: object) -> None:
    st.button(
        label(text),
        key=key,
        icon=":material/close:",
        icon_position="right",
        help=hint,
        on_click=act,  # type: ignore[arg-type]
        args=args,
        kwargs=kwargs,
    )


def _rules(selection: Selection, here: State) -> None:
    for rule in selection.recipe.rules:
        _chip(str(rule), f"frame_rule_{rule.slot}", "Remove this rule", here.drop_rule, rule)


def _knobs(selection: Selection, here: State) -> None:
    for name, value in selection.recipe.params.items():
        others = {k: v for k, v in selection.recipe.params.items() if k != name}
        shown = f"{value:.2g}" if isinstance(value, float) else str(value)
        text = f"{name.replace('_', ' ')} {shown}"
        hint = "Back to the run's own value"
        _chip(text, f"frame_param_{name}", hint, here.change, params=others)


def _rest(selection: Selection, here: State) -> None:
    """Near-duplicates, quotas, pins."""
    recipe = selection.recipe
    if recipe.distinct is not None:
        hint = "Keep near-duplicates"
        _chip(str(recipe.distinct), "frame_distinct", hint, here.change, distinct=None)
    for name, most in recipe.quotas.items():
        others = {k: v for k, v in recipe.quotas.items() if k != name}
        text = f"at most {most:,} of {name}"
        _chip(text, f"frame_quota_{name}", "Remove this quota", here.change, quotas=others)
    for keep, word in ((True, "kept"), (False, "dropped")):
        mine = [pin for pin in recipe.pins if pin.keep is keep]
        if mine:
            others_ = tuple(pin for pin in recipe.pins if pin.keep is not keep)
            text = f"{len(mine):,} {word} by hand"
            hint = "Leave these samples to the recipe"
            _chip(text, f"frame_pins_{word}", hint, here.change, pins=others_)


def _step(name: str, hint: str, disabled: bool, act: object) -> None:
    st.button(
        "",
        icon=f":material/{name}:",
        key=f"frame_{name}",
        help=hint,
        type="tertiary",
        disabled=disabled,
        on_click=act,  # type: ignore[arg-type]
    )


def _save(selection: Selection) -> None:
    with st.popover("", icon=":material/bookmark_add:", help="Save", type="tertiary"):
        with st.form("frame_save", border=False):
            name = st.text_input("Name", key="frame_save_name", max_chars=80)
            note = st.text_input("What changed (optional)", key="frame_save_note", max_chars=300)
            if st.form_submit_button("Save the recipe", type="primary", **rights.lock("recipe")):
                try:
                    told = data_people.save_recipe(name, selection.recipe, note, state().reviewer)
                except SFTLensError as error:
                    st.error(sentence(error), icon=":material/error:")
                else:
                    st.success(sentence(told), icon=":material/check_circle:")
        st.caption("Saving under a name that exists adds a version. Nothing is overwritten.")


def _link(selection: Selection) -> None:
    with st.popover("", icon=":material/link:", help="Link to this state", type="tertiary"):
        st.caption("Opens this page with this recipe and this sample, for whoever has the store.")
        st.code(link(), language=None, wrap_lines=True)
        st.caption(f"recipe {selection.recipe.key} on run {selection.run.run_id[:8]}")
