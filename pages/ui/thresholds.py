"""Thresholds: where they stand on a histogram, and the slider that moves them."""

import numpy as np
import streamlit as st

from core.methods import catalogue
from core.rules import Range
from core.selection import Selection
from pages.ui import data
from pages.ui.glossary import term
from pages.ui.state import show, state

METHOD = "differential_entropy"
MOST_TRIMMED = 49  # per cent a tail: half of the pool cannot be a tail
STEPS = 200  # positions of a slider over a column's range


def need_columns(selection: Selection, *names: str) -> None:
    """End the page with a way on when the run does not have these columns."""
    if all(name in selection.columns for name in names):
        return
    title = catalogue()[METHOD].title
    mine = catalogue()[selection.run.method].title
    st.info(f"This page shows {title.lower()}; the chosen run is of {mine.lower()}.")
    runs = data.scored(selection.run.pool)
    others = runs.loc[runs["method"] == METHOD, "run_id"].tolist()
    if others:
        st.button(
            f"Show the run of {title.lower()}",
            type="primary",
            key="entropy_show",
            on_click=state().close,
        )
    else:
        st.page_link("pages/runs.py", label="Start scoring", icon=":material/play_circle:")
    st.stop()


def trim_lines(selection: Selection) -> list[float]:
    """The smallest and the largest NLL drop that is not set aside."""
    low, high = _trimmed(selection, "low"), _trimmed(selection, "high")
    drop = selection.columns["nll_drop"]
    inside = drop[~low & ~high & np.isfinite(drop)]
    return [float(inside.min()), float(inside.max())] if len(inside) else []


def _trimmed(selection: Selection, tail: str) -> np.ndarray:
    return selection.scores.excluded[f"NLL drop in the {tail} tail"]


def trim_slider(selection: Selection) -> None:
    """Both shares of the NLL drop that are set aside, as one range of per cents."""
    params = selection.run.params | selection.recipe.params
    low, high = round(100 * params["trim_low"]), round(100 * (1 - params["trim_high"]))

    def move() -> None:
        start, end = st.session_state["entropy_trim"]
        tails = {"trim_low": start, "trim_high": 100 - end}  # per cent
        chosen = {name: min(tail, MOST_TRIMMED) / 100 for name, tail in tails.items()}
        own = {k: v for k, v in chosen.items() if abs(v - selection.run.params[k]) > 1e-9}
        others = {k: v for k, v in selection.recipe.params.items() if k not in chosen}
        state().change(params=others | own)

    show("entropy_trim", (low, high))
    st.slider(
        "Keep the middle of the NLL drop (percentiles)",
        0,
        100,
        key="entropy_trim",
        format="%d %%",
        on_change=move,
        help=term("trim"),
    )
    aside = int((_trimmed(selection, "low") | _trimmed(selection, "high")).sum())
    st.caption(f"{aside:,} of {selection.subset.n:,} samples set aside")


def rule_lines(selection: Selection, column: str) -> list[float]:
    """The ends of a column's rule."""
    rule = _rule(selection, column)
    return [end for end in (rule.low, rule.high) if end is not None] if rule else []


def rule_slider(selection: Selection, column: str) -> None:
    """A range on a column, in its own unit; the full range is no rule."""
    value = selection.columns[column]
    finite = value[np.isfinite(value)]
    if not len(finite) or finite.min() == finite.max():
        return
    step = float(f"{(finite.max() - finite.min()) / STEPS:.0e}")
    first, last = np.floor(finite.min() / step) * step, np.ceil(finite.max() / step) * step
    first, last = round(float(first), 9), round(float(last), 9)
    rule = _rule(selection, column) or Range(column=column)
    key = f"rule_{column}"

    def move() -> None:
        low, high = (round(float(end), 9) for end in st.session_state[key])
        open_ends = {"low": None if low <= first else low, "high": None if high >= last else high}
        changed = Range(column=column, low=open_ends["low"], high=open_ends["high"])
        bounded = any(end is not None for end in open_ends.values())  # an end at 0 is one too
        (state().add_rule if bounded else state().drop_rule)(changed)

    low = first if rule.low is None else max(first, rule.low)
    high = last if rule.high is None else min(last, rule.high)
    show(key, (low, high))
    label = f"Keep {column.replace('_', ' ')} between (nats per response token)"
    st.slider(
        label, first, last, step=step, key=key, format="%.3f", on_change=move, help=term("rule")
    )
    passed = int(((finite >= low) & (finite <= high)).sum())
    st.caption(f"{passed:,} of {selection.subset.n:,} samples pass")


def _rule(selection: Selection, column: str) -> Range | None:
    ranges = (rule for rule in selection.recipe.rules if isinstance(rule, Range))
    return next((rule for rule in ranges if rule.slot == column), None)
