"""Rules on the Recipe page: a histogram of any column, a text, a choice of values."""

import numpy as np
import streamlit as st

from core.methods import catalogue
from core.rules import Among, Search, named
from core.selection import Selection
from pages.ui import data, data_recipe
from pages.ui.glossary import term
from pages.ui.state import show, state
from pages.ui.thresholds import column_panel

OF_SAMPLES = {"n_chars": "characters of the conversation", "n_turns": "turns"}
MOST_SOURCES = 200


def column_rule(selection: Selection) -> None:
    """A column of this run, of another one or of the samples, with its rule on its histogram."""
    where, which = st.columns(2)
    runs = data.scored(selection.run.pool)
    ids = [selection.run.run_id, *(i for i in runs["run_id"] if i != selection.run.run_id)]
    titles = dict(zip(runs["run_id"], runs["method"], strict=True))
    label = {i: f"{catalogue()[titles[i]].title} · {i[:6]}" for i in ids if i in titles}
    of = where.selectbox(
        "A column of",
        ["", *label],
        index=1,
        key="recipe_rule_of",
        format_func=lambda i: label.get(i, "the samples"),
    )
    if not of:
        _of_samples(selection, which)
        return
    shown = data_recipe.of_run(selection, str(of))
    names = _numbers(shown)
    name = str(which.selectbox("Column", names, key=f"recipe_rule_column_{of}", format_func=named))
    about = term(name) if name in ("score", "entropy_drop", "nll_drop", "n_tokens") else ""
    title = named(name)
    title = title[:1].upper() + title[1:]
    column_panel(shown, name, title, "", f"recipe_{of}_{name}", about=about)


def _numbers(shown: Selection) -> list[str]:
    """Columns of a run with one number a sample, the score and the method's own first."""
    first = ["score", *catalogue()[shown.run.method].columns]
    names = ["score", *(n for n in data_recipe.run_numbers(shown.run.run_id) if n != "id_hash")]
    return [n for n in dict.fromkeys([*first, *names]) if n in names]


def _of_samples(selection: Selection, place: "st.delta_generator.DeltaGenerator") -> None:
    pool = selection.run.pool
    names = [*OF_SAMPLES, *data_recipe.meta_columns(pool)[0]]
    name = str(place.selectbox("Column", names, key="recipe_rule_column", format_func=named))
    value = data_recipe.sample_numbers(pool, name, selection.run.n)
    label = OF_SAMPLES.get(name, tame(name))
    column_panel(selection, name, label, "", f"recipe_samples_{name}", value=value)


def tame(column: str) -> str:
    """A column's name, which a file may have given, without what markup is made of."""
    return "".join(c if c.isalnum() or c in " -." else " " for c in named(column))


def search(selection: Selection) -> None:
    """A text that samples must have, or must not have, in any turn."""
    with st.form("recipe_search", border=False, clear_on_submit=True):
        text = st.text_input(
            "Text in any turn", key="recipe_search_text", max_chars=500, help=term("search")
        )
        side = st.segmented_control(
            "Samples with it", ["keep", "drop"], default="keep", key="recipe_search_side"
        )
        if st.form_submit_button("Add the rule", icon=":material/search:") and text.strip():
            state().add_rule(Search(text=text.strip(), keep=side != "drop"))
            st.rerun()
    for rule, passed in zip(selection.recipe.rules, selection.subset.passed, strict=True):
        if isinstance(rule, Search):
            word = "pass" if rule.keep else "are left without it"
            st.text(f"{rule}: {int(passed.sum()):,} of {selection.subset.n:,} samples {word}")


def among(selection: Selection) -> None:
    """Only some sources, groups or meta values; or all but some."""
    pool, texts = selection.run.pool, data_recipe.meta_columns(selection.run.pool)[1]
    groups = ["group"] if selection.scores.group is not None else []
    column = str(
        st.selectbox(
            "Column", ["source", *groups, *texts], key="recipe_among_column", format_func=named
        )
    )
    keep = st.segmented_control(
        "Values",
        ["keep only", "drop"],
        default="keep only",
        key="recipe_among_side",
        required=True,
        label_visibility="collapsed",
    )
    offered = _values(selection, pool, column)
    probe = Among(column=column, values=("",), keep=keep != "drop")
    now = next((r for r in selection.recipe.rules if r.slot == probe.slot), None)
    chosen = list(now.values) if isinstance(now, Among) else []
    key = f"recipe_among_{probe.slot}"

    def change() -> None:
        values = tuple(st.session_state[key])
        rule = probe.model_copy(update={"values": values})
        state().add_rule(rule) if values else state().drop_rule(probe)

    show(key, chosen)
    st.multiselect(
        f"{tame(column)} to {'drop' if keep == 'drop' else 'keep'}",
        list(dict.fromkeys([*offered, *chosen])),
        key=key,
        format_func=lambda value: f"{value or '(empty)'} · {offered.get(value, 0):,}",
        on_change=change,
        placeholder="No rule: all values pass",
    )
    if len(offered) >= MOST_SOURCES:
        st.caption(f"The {len(offered):,} most frequent values are offered.")


def _values(selection: Selection, pool: str, column: str) -> dict[str, int]:
    """Values to choose from with their samples, most first."""
    if column != "group" or selection.scores.group is None:
        return dict(data_recipe.values(pool, column))
    numbers, sizes = np.unique(selection.scores.group, return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:MOST_SOURCES]
    return {str(numbers[i]): int(sizes[i]) for i in order}
