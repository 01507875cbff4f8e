"""Answer entropy: how unsure a model is of the very first token of its answer.

A multiple-choice question is put to the model with the order to print one letter. With p the
softmax over the whole vocabulary at the position of the answer, in nats,

    entropy = -sum_v p_v ln p_v              0 (certain) to ln V
    band    = 0 easy, 1 middle, 2 hard       e < low, low <= e < high, e >= high

The samples with the HIGHEST entropy are chosen first: the hard ones, which the authors train on
a teacher's reasoning, while bare answers do for the others. Source: complexity-aware
fine-tuning, arXiv 2506.21220. Its released splits forget the middle band's upper bound; here it
is kept.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from core.domain import Arrays, FloatN, IntN, MaskN, Scores
from core.methods import Method
from core.signals import AnswerToken, Signal

EIGHT = 8  # numpy adds up to eight numbers in one order, whatever zeros follow
NONE, DONT_KNOW = -1, -2  # `predicted` where no option is named; see `Engine.answer_token`


class AnswerEntropy(Method):
    """Complexity-aware fine-tuning: the questions that a model is unsure of come first."""

    name = "answer_entropy"
    title = "Answer entropy"
    paper = "Complexity-aware fine-tuning (arXiv 2506.21220)"
    policy = "bands"
    columns = ("entropy", "correct", "band")
    pointwise = False  # bands by quantile are shares of the pool

    wording: Literal["plain", "fallback", "alternative"] = Field(
        "plain",
        description="order that the model is given: one letter; or 0 when it is not certain; or"
        " 0 when it does not know",
    )
    score_over: Literal["vocabulary", "options"] = Field(
        "vocabulary", description="tokens that share the probability: all, or the options' letters"
    )
    applies_to: Literal["choice", "all"] = Field(
        "choice",
        description="samples that are scored: multiple choice, or all by the first token of"
        " their response",
    )
    invalid: Literal["exclude", "keep"] = Field(
        "exclude",
        description="fate of the questions to which the model names no option, or says 0",
    )
    cuts: Literal["quantile", "absolute", "chunks"] = Field(
        "quantile",
        description="bands by quantiles of the entropy, by shares of its highest value, or as"
        " chunks of equal size, the remainder at the high end left out",
    )
    low: float = Field(0.25, ge=0, le=1, description="lower bound of the middle band")
    high: float = Field(
        0.75, ge=0, le=1, validate_default=True, description="lower bound of the hard band"
    )
    chunks: int = Field(6, ge=2, le=100, description="number of chunks, with cuts=chunks")

    @field_validator("high")
    @classmethod
    def _in_order(cls, high: float, others: ValidationInfo) -> float:
        if high < others.data.get("low", 0):
            raise PydanticCustomError("order", "must not lie below low")
        return high

    def needs(self) -> Mapping[str, Signal]:
        """What the base model believes at the first answer position."""
        return {"answer": AnswerToken(wording=self.wording)}

    def score(self, x: Arrays) -> Scores:
        """Value = entropy: higher is chosen earlier, the hardest first."""
        choice = np.asarray(x["answer_choice"], bool)
        predicted, gold = (np.asarray(x[f"answer_{c}"], np.int64) for c in ("predicted", "gold"))
        over_letters, gold_log_p = options(np.asarray(x["answer_options"]), gold)
        vocabulary = np.asarray(x["answer_entropy"], np.float64)
        entropy = over_letters if self.score_over == "options" else vocabulary
        excluded = self._unusable(choice, predicted, np.asarray(x["answer_over_long"], bool))
        seen = ~np.any(list(excluded.values()), axis=0)
        usable = seen & np.isfinite(entropy)
        excluded["the entropy is not a number"] = seen & ~usable
        top = np.max(entropy[usable], initial=0.0)
        normalised = np.where(usable, entropy / (top or 1.0), np.nan)
        band = self._bands(entropy, normalised, usable)
        excluded["left over by the chunks"] = usable & (band < 0)
        asked = choice & np.isfinite(vocabulary)
        diagnostics = {
            "entropy": vocabulary,
            "entropy_normalised": normalised,
            "option_entropy": over_letters,
            "correct": np.where(asked & (gold >= 0), predicted == gold, np.nan),
            "predicted": np.where(asked, predicted, np.nan),
            "gold": np.where(choice, gold, np.nan),
            "label_log_probability": gold_log_p,  # reads the label: never a predictor
            "band": np.where(band >= 0, band, np.nan),
        }
        return Scores(np.where(band >= 0, entropy, np.nan), band, excluded, diagnostics)

    def _unusable(self, choice: MaskN, predicted: IntN, over_long: MaskN) -> dict[str, MaskN]:
        """Reasons that have nothing to do with the pool's other samples."""
        apart = ~choice & (self.applies_to == "choice")
        asked = choice & ~over_long & (self.invalid == "exclude")
        return {
            "not multiple choice": apart,
            "longer than the token limit": over_long & ~apart,
            "the model names none of the options": asked & (predicted == NONE),
            "the model says that it does not know": asked & (predicted == DONT_KNOW),
        }

    def _bands(self, entropy: FloatN, normalised: FloatN, usable: MaskN) -> IntN:
        """(n,) band of each sample, -1 where it has none."""
        band = np.full(len(entropy), -1, np.int64)
        own = entropy[usable]
        if self.cuts == "chunks":
            band[usable] = even_chunks(own, self.chunks)
        elif self.cuts == "absolute":
            band[usable] = bands(normalised[usable], self.low, self.high)
        elif len(own):
            band[usable] = bands(own, *np.quantile(own, [self.low, self.high]))
        return band


def bands(entropy: FloatN, low: float, high: float) -> IntN:
    """0 where e < low, 1 where low <= e < high, 2 where e >= high."""
    return (entropy >= low).astype(np.int64) + (entropy >= high)


def even_chunks(entropy: FloatN, count: int) -> IntN:
    """(n,) chunk of each value, 0 the lowest: `count` chunks of floor(n / count) values.

    The rest at the high end has -1. Of equal values the earlier is the lower.
    """
    size = len(entropy) // count
    chunk = np.full(len(entropy), -1, np.int64)
    chunk[np.argsort(entropy, kind="stable")[: size * count]] = np.repeat(np.arange(count), size)
    return chunk


def options(log_p: NDArray[Any], gold: IntN) -> tuple[FloatN, FloatN]:
    """Of options (n, k), NaN beyond the last one: the entropy of a softmax over the letters
    alone, and the log-probability of the right letter; each (n,), NaN where there is none.
    """
    entropy, right = np.full(len(log_p), np.nan), np.full(len(log_p), np.nan)
    named = ~np.isnan(log_p)
    rows = np.flatnonzero(named.any(1))  # of a pool of all kinds most have no options at all
    last = max(EIGHT, int(named.any(0).nonzero()[0].max(initial=-1)) + 1)
    held = np.where(named[rows, :last], log_p[rows, :last].astype(np.float64), -np.inf)
    top = held.max(1, initial=-np.inf, keepdims=True)
    weight = np.exp(held - np.where(np.isfinite(top), top, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = weight / weight.sum(1, keepdims=True)
        entropy[rows] = np.abs(-np.where(p == 0, 0.0, p * np.log(p)).sum(1))  # no -0.0
    at = np.flatnonzero((gold >= 0) & (gold < log_p.shape[1]))
    right[at] = log_p[at, gold[at]]
    return entropy, right
