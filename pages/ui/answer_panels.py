"""The Complexity page's charts: entropy by correctness with its bands, ROC, reliability."""

from typing import Any

import numpy as np
import streamlit as st

from core.reliability import expected_error
from core.rules import Range
from core.selection import Selection
from pages.ui import thresholds
from pages.ui.answers import Answers
from pages.ui.charts import complexity, knowing
from pages.ui.glossary import term
from pages.ui.panels import chart, five, open_sample, palette, rule_from
from pages.ui.state import show, state

BANDS = "complexity_bands"
NO_TRUTH = "No question that was scored says which of its options is right."
ONE_CLASS = "A curve needs right and wrong answers, and all that are known are of one kind."


def by_correctness(shown: Selection, answers: Answers) -> None:
    """Both distributions with bands and rule; drag and slider make a rule on the entropy."""
    run = thresholds.run_of(shown)
    chart(
        "Entropy of right and of wrong answers",
        lambda: complexity.by_correctness(
            answers.entropy,
            answers.right,
            shown.subset.mask,
            answers.bands.low[1:].tolist(),
            answers.names,
            thresholds.ends(thresholds.rule_of("score", run)),
            palette(),
        ),
        "complexity_entropy",
        empty=NO_TRUTH,
        about=term("answer entropy"),
        on_range=rule_from("score", run),
        on_click=open_sample(shown),
    )
    st.caption("Dashed: where the bands begin. Solid: the ends of your rule.")
    label = "answer entropy (nats)"
    thresholds.range_slider(answers.entropy, "score", run, label, "complexity_range")
    thresholds.counts(shown, "score", run, "answer entropy")


def bounds(shown: Selection) -> None:
    """Both bounds of the middle band, as the run cuts them; moving them re-ranks at once."""
    params = shown.run.params | shown.recipe.params
    if thresholds.run_of(shown) or params["cuts"] == "chunks":
        return
    low, high = round(100 * params["low"]), round(100 * params["high"])

    def move() -> None:
        start, end = st.session_state[BANDS]
        state().turn(shown.run.params, low=start / 100, high=end / 100)

    show(BANDS, (low, high))
    of = "questions by entropy" if params["cuts"] == "quantile" else "the highest entropy"
    st.slider(
        f"The middle band, per cent of {of}",
        0,
        100,
        key=BANDS,
        format="%d %%",
        on_change=move,
        help=term("band"),
    )


def roc(shown: Selection, answers: Answers) -> None:
    """Entropy as a predictor of a wrong answer; a click on the curve makes its threshold a rule."""
    run = thresholds.run_of(shown)

    def keep_above(custom: Any) -> None:
        at = float(custom[0] if isinstance(custom, list | tuple) else custom)
        if at >= 0:  # the first point stands above every entropy
            state().add_rule(Range(column="score", run=run, low=five(at)))

    chart(
        "Entropy as a predictor of a wrong answer",
        lambda: knowing.roc(*answers.roc, answers.interval, palette()),
        "complexity_roc",
        empty=ONE_CLASS if np.isfinite(answers.right).any() else NO_TRUTH,
        about=term("roc"),
        on_click=keep_above,
    )
    if np.isfinite(answers.auc):
        low, high = answers.interval.auc
        st.caption(
            f"Area {answers.auc:.3f}, 95 % interval {low:.3f} to {high:.3f} (bootstrap of right and"
            " wrong answers apart). Click a point to keep what lies above its threshold."
        )


def reliability(shown: Selection, answers: Answers) -> None:
    """Said against right; a click opens the surest wrong answer of a bin."""
    found = answers.reliability
    chart(
        "Said against right",
        lambda: knowing.reliability(found, answers.telling.tolist(), palette()),
        "complexity_reliability",
        empty=NO_TRUTH,
        about=term("reliability"),
        on_click=open_sample(shown),
    )
    if len(found.n):
        total = found.n.sum()
        said, right = (found.n * found.said).sum() / total, (found.n * found.right).sum() / total
        st.caption(
            f"The model gives its choice {100 * said:.0f} % on average and is right in"
            f" {100 * right:.0f} %. Over all bins what it says is off by"
            f" {100 * expected_error(found):.1f} points (expected calibration error). Click a dot"
            " to read its surest wrong answer."
        )
