"""Entropy before and after calibration: the plane, its box as rules, and quadrants in words."""

import numpy as np
import streamlit as st

from core.rules import Range
from core.selection import Selection
from pages.ui import thresholds
from pages.ui.charts import entropy
from pages.ui.glossary import term
from pages.ui.panels import chart, five, open_sample, palette

AXES = ("base_entropy", "calibrated_entropy")


def plane(selection: Selection) -> None:
    """The density of both entropies; a dragged box makes a rule on each axis."""
    base, calibrated = (selection.columns[name] for name in AXES)
    kept, run = selection.subset.mask, thresholds.run_of(selection)
    x, y = (thresholds.ends(thresholds.rule_of(name, run)) for name in AXES)
    chart(
        "Entropy of the response, before and after calibration",
        lambda: entropy.entropy_density(base, calibrated, kept, (x, y), palette()),
        "entropy_density",
        empty="No sample has an entropy under both models.",
        about=term("entropy"),
        on_box=lambda x0, x1, y0, y1: keep_box(run, x0, x1, y0, y1),
        on_click=open_sample(selection),
    )
    finite = np.isfinite(base) & np.isfinite(calibrated)
    drawn = [entropy.evenly(np.flatnonzero(finite & side)) for side in (kept, ~kept)]
    _said(int(finite.sum()), sum(map(len, drawn)))


def _said(counted: int, drawn: int) -> None:
    """What to do on the plane, and what it leaves out."""
    text = "Drag a box to keep what lies in it; click a dot to read it."
    if drawn < counted:
        text += f" Shades count all {counted:,} samples, dots are {drawn:,} of them."
    if counted > entropy.MANY:
        text += " The squares at the rim also count the 1 in 1,000 beyond either end."
    st.caption(text)


def keep_box(run: str, x0: float, x1: float, y0: float, y1: float) -> None:
    """A rule on either axis, as one change."""
    ranges = zip(AXES, ((x0, x1), (y0, y1)), strict=True)
    thresholds.add_rules(
        *(
            Range(column=name, run=run, low=five(low), high=five(high))
            for name, (low, high) in ranges
        )
    )
