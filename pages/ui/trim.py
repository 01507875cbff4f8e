"""The NLL drop on the Entropy page: its tails, which are set aside, as lines, drag and slider.

The tails are knobs of the run, shares of its samples. Where the recipe ranks by another run its
knobs turn nothing, and a drag makes a plain rule on the NLL drop instead.
"""

import numpy as np
import streamlit as st

from core.domain import MaskN
from core.selection import Selection
from pages.ui import thresholds
from pages.ui.charts import distributions
from pages.ui.glossary import term
from pages.ui.panels import chart, open_sample, palette
from pages.ui.state import show, state

KEY = "entropy_trim"
MOST_TRIMMED = 49  # per cent a tail: half of the pool cannot be a tail
LABEL, UNIT = "NLL drop", "nats per response token"
EMPTY = "No sample has an NLL under both models."


def panel(selection: Selection) -> None:
    """The histogram of the NLL drop with what is set aside, and how to move it."""
    if run := thresholds.run_of(selection):
        thresholds.column_panel(
            selection, "nll_drop", LABEL, UNIT, "entropy_nll", about=term("nll_drop"), empty=EMPTY
        )
        return
    rule = thresholds.rule_of("nll_drop", run)
    chart(
        LABEL,
        lambda: distributions.histogram(
            selection.columns["nll_drop"],
            selection.subset.mask,
            [*lines(selection), *thresholds.ends(rule)],
            f"{LABEL}, base − calibrated ({UNIT})",
            palette(),
            unit=UNIT,
        ),
        "entropy_nll_chart",
        empty=EMPTY,
        about=term("nll_drop"),
        on_range=lambda low, high: keep_between(selection, low, high),
        on_click=open_sample(selection),
    )
    slider(selection)


def lines(selection: Selection) -> list[float]:
    """The smallest and the largest NLL drop that is not set aside."""
    drop = selection.columns["nll_drop"]
    inside = drop[~_trimmed(selection) & np.isfinite(drop)]
    return [float(inside.min()), float(inside.max())] if len(inside) else []


def _trimmed(selection: Selection) -> MaskN:
    """(n,) True where the NLL drop lies in either tail."""
    excluded = selection.scores.excluded
    return excluded["NLL drop in the low tail"] | excluded["NLL drop in the high tail"]


def keep_between(selection: Selection, low: float, high: float) -> None:
    """Set aside what lies below `low` and above `high`, in whole per cents of the samples."""
    drop = selection.columns["nll_drop"]
    drop = drop[np.isfinite(drop)]
    set_tails(selection, round(100 * np.mean(drop < low)), round(100 * np.mean(drop > high)))


def set_tails(selection: Selection, low: int, high: int) -> None:
    """Set aside these per cents at either end; the run's own values are no change."""
    low, high = min(low, MOST_TRIMMED), min(high, MOST_TRIMMED)
    state().turn(selection.run.params, trim_low=low / 100, trim_high=high / 100)


def slider(selection: Selection) -> None:
    """Both shares of the NLL drop that are set aside, as one range of per cents."""
    params = selection.run.params | selection.recipe.params
    low, high = round(100 * params["trim_low"]), round(100 * (1 - params["trim_high"]))

    def move() -> None:
        start, end = st.session_state[KEY]
        set_tails(selection, start, 100 - end)

    show(KEY, (low, high))
    st.slider(
        "Keep the middle of the NLL drop (percentiles)",
        0,
        100,
        key=KEY,
        format="%d %%",
        on_change=move,
        help=term("trim"),
    )
    aside = int(_trimmed(selection).sum())
    st.caption(f"{aside:,} of {selection.subset.n:,} samples set aside")
