"""Thresholds of any column: on its histogram, on the slider under it, and what they leave.

Every number of every run can have a rule: drag over the histogram, or move the slider's ends. A
column of a run that the recipe does not rank by gets a rule that names that run.
"""

import math

import numpy as np
import streamlit as st

from core.domain import FloatN
from core.rules import Range, Rule
from core.selection import Selection
from pages.ui.charts import distributions
from pages.ui.glossary import term
from pages.ui.panels import chart, open_sample, palette, rule_from
from pages.ui.state import show, state

STEPS = 200  # positions of a slider over a column's range


def column_panel(
    selection: Selection,
    column: str,
    label: str,
    unit: str,
    key: str,
    *,
    value: FloatN | None = None,
    about: str = "",
    empty: str = "No sample has a number in this column.",
) -> None:
    """A column's histogram with its rule on it, drag and slider, counts before and after.

    Args:
        selection: whose run has the column; what is kept is that of its subset.
        column: as a rule names it: one of the run's, or "score", "n_chars", "n_turns", "meta.X".
        label: what people call it, the title of the panel.
        unit: of its numbers, e.g. "nats per response token"; "" for none.
        key: of the widgets, beginning with the page. The slider is `{key}_range`.
        value: (n,) the column where the run does not hold it, as of samples.
        about: help on the title.
        empty: why there may be no number.
    """
    own = selection.columns[column] if value is None else value
    run = run_of(selection)
    axis = f"{label} ({unit})" if unit else label
    chart(
        label,
        lambda: distributions.histogram(
            own,
            selection.subset.mask,
            ends(rule_of(column, run)),
            axis,
            palette(),
            unit=unit,
            chance=selection.subset.matched.chance,
        ),
        f"{key}_chart",
        empty=empty,
        about=about,
        on_range=rule_from(column, run),
        on_click=open_sample(selection),
    )
    if np.isfinite(own).any():
        range_slider(own, column, run, axis, f"{key}_range")
        counts(selection, column, run, label)


def run_of(selection: Selection) -> str:
    """The run that a rule on this selection's columns names; "" where the recipe ranks by it."""
    recipe = state().recipe
    own = recipe is None or recipe.run_id == selection.run.run_id
    return "" if own else selection.run.run_id


def rule_of(column: str, run: str = "") -> Range | None:
    """The recipe's range on a column."""
    recipe = state().recipe
    slot = Range(column=column, run=run).slot
    found = (r for r in (recipe.rules if recipe else ()) if r.slot == slot)
    return next((r for r in found if isinstance(r, Range)), None)


def ends(rule: Range | None) -> list[float]:
    """Where a rule's lines stand."""
    return [end for end in (rule.low, rule.high) if end is not None] if rule else []


def add_rules(*rules: Rule) -> None:
    """Put several rules into their slots at once, so that one undo takes them back."""
    here = state()
    if here.recipe is not None:
        slots = {r.slot: r for r in (*here.recipe.rules, *rules)}
        here.change(rules=tuple(slots.values()))


def range_slider(value: FloatN, column: str, run: str, label: str, key: str) -> None:
    """Both ends of a column's rule, in its own unit; the full range is no rule."""
    finite = value[np.isfinite(value)]
    span = float(finite.max() - finite.min())
    if not 0 < span < math.inf:
        return
    step, first, last = _scale(float(finite.min()), float(finite.max()))
    rule = rule_of(column, run) or Range(column=column, run=run)

    def move() -> None:
        low, high = (round(float(end), 9) for end in st.session_state[key])
        open_ends = {"low": None if low <= first else low, "high": None if high >= last else high}
        moved = rule.model_copy(update=open_ends)
        # an end at 0 is one too
        state().add_rule(moved) if ends(moved) else state().drop_rule(moved)

    low = first if rule.low is None else min(last, max(first, rule.low))
    high = last if rule.high is None else max(first, min(last, rule.high))
    show(key, (min(low, high), high))
    st.slider(
        f"Keep {_inside(label)} between",
        first,
        last,
        step=step,
        key=key,
        format=f"%.{max(0, -math.floor(math.log10(step)))}f",
        on_change=move,
        help=term("rule"),
    )


def _inside(label: str) -> str:
    """A label inside of a sentence: its first letter small, unless it is an abbreviation's."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Step, first and last position of a slider over a range: round numbers around it."""
    step = float(f"{(high - low) / STEPS:.0e}")
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return step, round(first, 9), round(last, 9)


def counts(selection: Selection, column: str, run: str, label: str) -> None:
    """How many samples the other rules leave, and how many of those this one does."""
    recipe, subset = state().recipe, selection.subset
    others, own = np.ones(subset.n, bool), np.ones(subset.n, bool)
    rule = rule_of(column, run)
    for other, passed in zip(recipe.rules if recipe else (), subset.passed, strict=True):
        if rule is not None and other.slot == rule.slot:
            own = passed
        else:
            others &= passed
    before, after = int(others.sum()), int((others & own).sum())
    if rule is None:
        some = f"{before:,} of {subset.n:,} samples pass the recipe's rules"
        st.caption(
            f"{some}. Drag over the bars to make another."
            if recipe and recipe.rules
            else "No rule yet. Drag over the bars to make one."
        )
        return
    pass_others = "samples" if before == subset.n else "samples that pass the other rules"
    st.caption(f"{after:,} of {before:,} {pass_others} pass on {_inside(label)}.")
