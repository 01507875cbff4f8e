"""What a recipe does: step by step, under a nudge, and beside a random draw."""

import numpy as np
import pandas as pd
import streamlit as st

from core.matched import Beside
from core.methods import catalogue
from core.rules import named
from core.selection import Selection
from pages.ui import data_recipe
from pages.ui.charts import recipe as charts
from pages.ui.data_recipe import Threshold
from pages.ui.glossary import term
from pages.ui.panels import chart, five, palette
from pages.ui.prose import label
from pages.ui.sheets import sheet
from pages.ui.state import state

SOURCES = 8  # largest sources in the table
ACROSS = 3  # curves in a row


def waterfall(selection: Selection) -> None:
    """What each step removes, in order and alone."""
    # steps that could remove nothing even alone are left out
    steps = [step for step in data_recipe.steps(selection) if step.alone or step.in_order]
    names = [short(step.reason) for step in steps]
    chart(
        "What is left after each step",
        lambda: charts.waterfall(steps, names, selection.subset.n, palette()),
        "recipe_waterfall",
        empty="The pool holds no samples.",
        about=term("waterfall"),
    )
    st.caption(
        "Bars: removed in this order. Ticks: what would be left if a step were the only one."
    )


def short(reason: str) -> str:
    """A reason as the name of a step."""
    if reason.startswith("budget"):
        return "over the budget"
    kind, _, rest = reason.partition(": ")
    return {"rule": rest, "quota": f"at most {rest}"}.get(kind, rest or kind)


@st.fragment
def fragility(selection: Selection) -> None:
    """A curve for each threshold of the recipe, the most fragile first."""
    if state().recipe != selection.recipe:  # a click here moved one; the page is of the old recipe
        st.rerun()
    found = sorted(data_recipe.thresholds(selection), key=lambda t: -t.curve.fragility)
    if not found or not len(selection.subset.chosen):
        st.info("Nothing is kept, so nothing can be exchanged.", icon=":material/info:")
        return
    worst = found[0]
    st.markdown(
        f"The most fragile threshold is **{_said(worst)}**: a step of a twentieth of its range"
        f" exchanges **{100 * worst.curve.fragility:.0f} %** of what either side keeps.",
        help=term("fragility"),
    )
    st.caption(
        "Blue: share of the pool that is kept. Dotted: how much of that is kept now (Jaccard"
        " index). Click a mark to move the threshold there."
    )
    moving = [t for t in found if not t.curve.idle]
    for start in range(0, len(moving), ACROSS):
        for place, threshold in zip(
            st.columns(ACROSS, gap="medium"), moving[start : start + ACROSS], strict=False
        ):
            with place:
                _curve(threshold)
    if idle := ", ".join(t.curve.name for t in found if t.curve.idle):
        st.caption(f"Moving these alone changes nothing: {label(idle)}.")
    sampled = min(t.curve.sampled for t in found)
    if sampled < selection.subset.n:
        st.caption(
            f"Curves that must apply the whole recipe at each place do so on a seeded sample of"
            f" {sampled:,} of {selection.subset.n:,} samples, with the budget scaled."
        )


def _said(threshold: Threshold) -> str:
    word = {"knob": "the knob ", "rule": "the rule on "}.get(threshold.kind, "the ")
    return word + label(threshold.curve.name)


def _curve(threshold: Threshold) -> None:
    slot = threshold.rule.slot if threshold.rule else ""
    key = f"recipe_curve_{threshold.kind}_{threshold.name}_{slot}"
    chart(
        "",
        lambda: charts.sensitivity(threshold.curve, palette()),
        key,
        empty=f"{threshold.curve.name} has one place alone: nothing can move.",
        on_click=lambda at: _move(threshold, float(at)),
    )


def _move(threshold: Threshold, at: float) -> None:
    """Put a threshold where a person clicked."""
    here, at = state(), five(at)
    if here.recipe is None:
        return
    if threshold.rule is not None:
        low, high = threshold.rule.low, threshold.rule.high
        if threshold.name == "low":
            at = at if high is None else min(at, high)
        else:
            at = at if low is None else max(at, low)
        here.add_rule(threshold.rule.model_copy(update={threshold.name: at}))
    elif threshold.kind == "budget":
        tail = "% tokens" if "token" in here.recipe.budget else "%"
        here.change(budget=f"{at:.4f}".rstrip("0").rstrip(".") + tail)
    else:
        whole = threshold.curve.at.tolist() == [round(x) for x in threshold.curve.at.tolist()]
        here.change(params={**here.recipe.params, threshold.name: round(at) if whole else at})


def beside_random(selection: Selection) -> None:
    """The subset's numbers beside those of random draws of its size and lengths."""
    subset = selection.subset
    matched = subset.matched
    if not len(subset.chosen):
        st.info("Nothing is kept, so there is nothing to match.", icon=":material/info:")
        return
    names = ["score", *catalogue()[selection.run.method].columns]
    rows = [
        (named(name), matched.beside(selection.columns[name], subset.mask), "")
        for name in dict.fromkeys(names)
        if name in selection.columns and name != "n_tokens"
    ]
    rows.insert(0, ("response tokens", matched.beside(subset.n_tokens, subset.mask), ""))
    sheet(
        pd.DataFrame([_row(*row) for row in [*rows, *_sources(selection)]]),
        hide_index=True,
        column_config={"95 of 100 draws": st.column_config.TextColumn(help=term("matched"))},
    )
    st.caption(
        f"Means, and shares of a source. A draw takes as many samples of each length;"
        f" {100 * matched.shared:.0f} % of it is in the subset itself."
    )


def _sources(selection: Selection) -> list[tuple[str, Beside, str]]:
    """The largest sources' shares in the subset, in per cent, beside those of draws."""
    subset, source = selection.subset, selection.source
    n, kept = len(selection.sources), len(subset.chosen)
    mine = np.bincount(source[subset.mask], minlength=n)
    mean, sd = subset.matched.expected(source, n)
    largest = np.argsort(-np.bincount(source, minlength=n), kind="stable")[:SOURCES]
    share = 100 / kept
    return [
        (
            f"from {selection.sources[i]}",
            Beside(float(mine[i]) * share, float(mean[i]) * share, float(sd[i]) * share),
            " %",
        )
        for i in largest.tolist()
    ]


def _row(name: str, found: Beside, unit: str) -> dict[str, str]:
    low, high = found.ends
    verdict = ("above" if found.kept > found.mean else "below") if found.clear else "as random"

    def said(number: float) -> str:
        if np.isnan(number):
            return "–"
        return f"{number:,.1f}" if unit or abs(number) >= 10 else f"{number:.3f}"

    return {
        "": name,
        "kept": said(found.kept) + unit,
        "random, same size and length": said(found.mean) + unit,
        "95 of 100 draws": f"{said(low)} to {said(high)}{unit}",
        "verdict": verdict,
    }
