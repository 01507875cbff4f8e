"""The widgets of the Recipe page."""

from functools import partial
from typing import Any

import streamlit as st

from core import policies
from core.errors import SFTLensError
from core.methods import build
from core.policies.budget import Budget
from core.selection import Selection
from core.subset import missing
from pages.ui import data
from pages.ui.forms import field_widget
from pages.ui.prose import sentence
from pages.ui.state import show, state

UNITS = {
    "% of the samples": ("%", 100.0),
    "samples": ("", 1e9),
    "% of the response tokens": ("% tokens", 100.0),
    "response tokens": (" tokens", 1e12),
}


def budget(selection: Selection) -> None:
    """Amount and unit of the budget."""
    now = Budget.parse(selection.recipe.budget)
    tail = ("%" if now.share else "") + (" tokens" if now.unit == "tokens" else "")
    unit_now = next(name for name, (end, _) in UNITS.items() if end == tail)
    amount, unit = st.columns([1, 2])

    def change() -> None:
        end, most = UNITS[st.session_state["recipe_unit"]]
        value = min(st.session_state["recipe_amount"], most)
        text = f"{value:.4f}".rstrip("0").rstrip(".") if "%" in end else f"{int(value)}"
        try:
            Budget.parse(text + end)
        except SFTLensError as error:
            st.session_state["recipe_refused"] = str(error)
            return
        state().change(budget=text + end)

    show("recipe_unit", unit_now)
    show("recipe_amount", float(now.amount))
    amount.number_input(
        "Amount",
        0.01 if now.share else 1.0,
        UNITS[unit_now][1],
        step=1.0,
        key="recipe_amount",
        on_change=change,
        format="%g",
        label_visibility="collapsed",
    )
    unit.selectbox(
        "Unit", list(UNITS), key="recipe_unit", on_change=change, label_visibility="collapsed"
    )
    if refused := st.session_state.pop("recipe_refused", ""):
        st.warning(sentence(refused), icon=":material/warning:")


def policy(selection: Selection) -> None:
    """The policy, of those whose needs the scores meet, its parameters, and its notes."""
    now = selection.recipe.policy
    cards = policies.catalogue()
    offered = {n: card for n, card in cards.items() if not missing(card, selection.scores)}
    show("recipe_policy", now)
    st.selectbox(
        "Policy",
        list(offered),
        key="recipe_policy",
        format_func=lambda name: offered[name].title,
        on_change=lambda: _change_policy(selection, st.session_state["recipe_policy"], {}),
        label_visibility="collapsed",
    )
    about = " ".join((offered[now].__doc__ or "").partition("\n\n")[0].split())
    st.caption(f"{about} Source: {offered[now].source}.")
    values = policies.build(now, selection.recipe.policy_params).model_dump()
    columns = st.columns(2)
    for i, (name, field) in enumerate(offered[now].model_fields.items()):
        key = f"recipe_policy_{now}_{name}"
        show(key, values[name])
        with columns[i % 2]:
            changed = partial(_set_policy, selection, name, key)
            field_widget(name, field, values[name], key, changed)
    for text in selection.subset.notes:
        st.warning(text, icon=":material/info:")
    if refused := st.session_state.pop("recipe_policy_refused", ""):
        st.warning(sentence(refused), icon=":material/warning:")


def _change_policy(selection: Selection, name: str, params: dict[str, Any]) -> None:
    """Another policy or parameter; what cannot be applied leaves the recipe as it was."""
    changed = selection.recipe.model_copy(update={"policy": name, "policy_params": params})
    if refused := data.refusal(changed):
        st.session_state["recipe_policy_refused"] = refused
    else:
        state().change(policy=name, policy_params=params)


def _set_policy(selection: Selection, name: str, key: str) -> None:
    recipe, value = selection.recipe, st.session_state[key]
    usual = policies.build(recipe.policy).model_dump()[name]
    others = {k: v for k, v in recipe.policy_params.items() if k != name}
    own = {} if value == usual else {name: value}
    _change_policy(selection, recipe.policy, others | own)


def live_knobs(selection: Selection) -> None:
    """The method's parameters that re-rank from what is stored."""
    run = selection.run
    method = build(run.method, run.params)
    now = run.params | selection.recipe.params
    knobs = method.live()
    columns = st.columns(2)
    for i, name in enumerate(knobs):
        key = f"recipe_knob_{name}"
        show(key, now[name])
        with columns[i % 2]:
            changed = partial(_set_knob, selection, name, key)
            field_widget(name, type(method).model_fields[name], now[name], key, changed)
    if not knobs:
        st.caption("This method has no parameter that can change without a model.")


def _set_knob(selection: Selection, name: str, key: str) -> None:
    state().turn(selection.run.params, **{name: st.session_state[key]})
