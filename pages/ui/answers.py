"""Multiple-choice answers: what the Complexity page works with, and what it says in words."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from core import curves, reliability
from core.curves import RocBand
from core.domain import FloatN, IntN
from core.reliability import BandFacts, Reliability
from core.selection import Selection
from pages.ui.glossary import term
from pages.ui.sheets import sheet

NAMES = ("easy", "middle", "hard")
DRAWS = 500  # of the bootstrap
SEED = 0


@dataclass(frozen=True)
class Answers:
    """The questions of a run, in pool order (n,); NaN, or band -1, for samples that are none.

    `entropy` in nats; `right` 1 or 0; `probability` what the model gave to the option it chose.
    `roc`: rates of right and of wrong answers above each threshold, and the threshold.
    """

    entropy: FloatN
    right: FloatN
    probability: FloatN
    band: IntN
    bands: BandFacts
    auc: float  # how often a wrong answer has the higher entropy
    roc: tuple[FloatN, FloatN, FloatN]
    interval: RocBand
    reliability: Reliability
    telling: IntN

    @property
    def names(self) -> list[str]:
        """What each band is called."""
        b = len(self.bands.band)
        whole = self.bands.band.tolist() == [0, 1, 2]
        return list(NAMES) if whole else [f"band {k}" for k in self.bands.band.tolist()][:b]


def need_answers(shown: Selection) -> Answers:
    """The answers of a run of answer entropy, or the page ends with the reason and a way on."""
    if np.isfinite(shown.scores.value).any():
        return _answers(shown.run.run_id, repr(sorted(shown.recipe.params.items())), shown)
    reasons = {name: int(mask.sum()) for name, mask in shown.scores.excluded.items() if mask.any()}
    with st.container(border=True):
        st.subheader("No question to look at", anchor=False)
        st.write(
            "This page is about multiple-choice questions, and no sample of the pool was scored"
            " as one:"
        )
        sheet(
            {"reason": list(reasons), "samples": list(reasons.values())},
            hide_index=True,
            width="content",
            column_config={"samples": st.column_config.NumberColumn(format="localized")},
        )
        st.write("Records with a question, its options and the right answer become such samples.")
        st.code("sftlens import questions.jsonl --pool questions", language="bash")
    st.stop()


@st.cache_resource(max_entries=4, show_spinner=False)
def _answers(run_id: str, params: str, _shown: Selection) -> Answers:
    c, scores = _shown.columns, _shown.scores
    over = (_shown.run.params | _shown.recipe.params)["score_over"]
    entropy, scored = scores.value, np.isfinite(scores.value)
    assert scores.group is not None  # the method gives bands
    right = np.where(scored, c["correct"], np.nan)
    rows = np.flatnonzero(np.isfinite(right))
    wrong = right[rows] == 0
    chosen = reliability.chosen_probability(c["answer_options"], c["predicted"], over)
    probability = np.where(np.isfinite(right), chosen, np.nan)
    bins = reliability.reliability(probability, right == 1)
    return Answers(
        entropy,
        right,
        probability,
        scores.group,
        reliability.band_facts(entropy, scores.group, c["n_tokens"], right),
        curves.roc_auc(entropy[rows], wrong),
        curves.roc_points(entropy[rows], wrong),
        curves.roc_band(entropy[rows], wrong, np.random.default_rng(SEED), DRAWS),
        bins,
        reliability.telling(probability, right == 1, bins),
    )


def sentence(answers: Answers) -> None:
    """How many are right, and whether entropy knows which."""
    known = np.isfinite(answers.right)
    n, hits = int(known.sum()), int(np.nansum(answers.right))
    if not n:
        st.markdown("No question says which of its options is right, so there is nothing to check.")
        return
    low, high = curves.wilson(hits, n)
    text = (
        f"The model answers **{hits:,} of {n:,}** questions right ({100 * hits / n:.1f} %, 95 %"
        f" interval {100 * low:.0f} to {100 * high:.0f} %)."
    )
    st.markdown(f"{text} {_verdict(answers)}")


def _verdict(answers: Answers) -> str:
    """The area under the curve in words, with its interval."""
    if np.isnan(answers.auc):
        return "With right or wrong answers only, there is nothing that entropy could tell apart."
    low, high = answers.interval.auc
    said = (
        f"A wrong answer has a higher entropy than a right one in **{100 * answers.auc:.0f} %** of"
        f" pairs (95 % interval {100 * low:.0f} to {100 * high:.0f} %; chance is 50 %):"
    )
    if low > 0.5:
        return f"{said} entropy knows what is hard."
    if high < 0.5:
        return f"{said} entropy points the wrong way."
    return f"{said} on these questions that is no better than chance."


def teacher(answers: Answers) -> None:
    """What a teacher need not be asked for when only the hard band is distilled."""
    facts = answers.bands
    if len(facts.band) < 2 or not facts.tokens.sum():
        return
    saved, whole = facts.tokens[:-1].sum(), facts.tokens.sum()
    st.markdown(
        f"**{100 * saved / whole:.1f} % of the teacher's tokens saved.** Distilling only the"
        f" {answers.names[-1]} band asks a teacher for {facts.n[-1]:,} of {facts.n.sum():,}"
        f" questions, {facts.tokens[-1]:,.0f} of {whole:,.0f} response tokens; the other"
        f" {saved:,.0f} keep their plain answers.",
        help=term("teacher"),
    )
    st.caption(
        "Counted in the pool's own responses. A teacher's reasoning is longer; the share holds"
        " where it is longer alike."
    )


def table(answers: Answers, shown: Selection) -> None:
    """The bands: bounds, questions, kept, right answers, response tokens."""
    facts, kept = answers.bands, shown.subset.mask
    share = [100 * k / n if n else np.nan for k, n in zip(facts.right, facts.asked, strict=True)]
    frame = pd.DataFrame(
        {
            "band": answers.names,
            "from": facts.low,
            "questions": facts.n,
            "kept": [int((kept & (answers.band == k)).sum()) for k in facts.band],
            "right": share,
            "tokens": facts.tokens,
        }
    )
    number = st.column_config.NumberColumn
    columns = {
        "from": number("from (nats)", format="%.3f", help=term("answer entropy")),
        "questions": number(format="localized"),
        "kept": number(format="localized", help=term("kept")),
        "right": number("right", format="%.0f %%", help="Share of questions answered right."),
        "tokens": number("tokens", format="compact", help=term("tokens")),
    }
    sheet(frame, hide_index=True, column_config=columns)
