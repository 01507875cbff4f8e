"""Does a model know what it knows? Its probabilities against how often it is right, as arrays.

`probability` (n,): what the model gives to the answer that it chose, 0 to 1. `right` (n,): was it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.curves import wilson
from core.domain import FloatN, IntN, MaskN

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width in which something was answered, (b,), from low probability to high."""

    first: FloatN  # lower edge
    last: FloatN  # upper edge
    n: IntN  # answers
    said: FloatN  # mean probability
    right: FloatN  # share of right answers
    low: FloatN  # Wilson's interval of that share, at 95 %
    high: FloatN


def reliability(probability: FloatN, right: MaskN, bins: int = BINS) -> Reliability:
    """Bins [k / bins, (k + 1) / bins), the last one with its end; empty ones are left out.

    A probability that is no number is left out.
    """
    known = np.isfinite(probability)
    p, hit = np.clip(probability[known], 0.0, 1.0), np.asarray(right, bool)[known]
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    n = np.bincount(place, minlength=bins)
    there = np.flatnonzero(n)
    hits, n = np.bincount(place[hit], minlength=bins)[there], n[there]
    said = np.bincount(place, p, bins)[there] / n
    ends = [wilson(int(k), int(m)) for k, m in zip(hits, n, strict=True)]
    low, high = np.array(ends).reshape(-1, 2).T
    return Reliability(there / bins, (there + 1) / bins, n, said, hits / n, low, high)


def expected_error(found: Reliability) -> float:
    """Mean distance of what was said from what was right, by answers: the expected calibration
    error, 0 (a model that knows) to 1; NaN without answers.
    """
    total = found.n.sum()
    gap = np.abs(found.said - found.right)
    return float((found.n * gap).sum() / total) if total else np.nan


def telling(probability: FloatN, right: MaskN, found: Reliability) -> IntN:
    """A row of each bin worth reading, (b,): its surest wrong answer, or its surest one."""
    surprise = np.where(right, 0.0, 2.0) + probability  # wrong ones first, then by probability
    p = np.clip(probability, 0.0, 1.0)
    rows = [
        np.flatnonzero((p >= low) & ((p < high) | (high == 1.0)))
        for low, high in zip(found.first, found.last, strict=True)
    ]
    return np.array([own[np.argmax(surprise[own])] for own in rows], np.int64)


def chosen_probability(
    log_p: NDArray[Any], chosen: NDArray[Any], over: Literal["vocabulary", "options"]
) -> FloatN:
    """Probability (n,) of the chosen option, NaN where none was chosen.

    `log_p` (n, k): log-probability of each option over the vocabulary, NaN beyond the last one.
    `chosen` (n,): its index, negative or NaN for none. `over`: as it is, or over the options.
    """
    column = np.nan_to_num(np.asarray(chosen, np.float64), nan=-1.0).astype(np.int64)
    rows = np.flatnonzero((column >= 0) & (column < log_p.shape[1]))
    asked = np.asarray(log_p[rows], np.float64)  # those alone: a pool may hold few questions
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.exp(asked[np.arange(len(rows)), column[rows]])
        if over == "options":
            own /= np.nansum(np.exp(asked), axis=1)
    found = np.full(len(column), np.nan)
    found[rows] = own
    return found


@dataclass(frozen=True)
class BandFacts:
    """What each band holds, (b,), from the lowest number up."""

    band: IntN
    low: FloatN  # the lowest score in it
    high: FloatN  # the highest
    n: IntN  # samples
    tokens: FloatN  # response tokens
    asked: IntN  # samples whose answer is known to be right or wrong
    right: IntN  # those that are right


def band_facts(score: FloatN, band: IntN, tokens: FloatN, right: FloatN) -> BandFacts:
    """Counts by band (n,), one below 0 left out. `right` (n,): 1, 0, or NaN where not known."""
    rows = np.flatnonzero(band >= 0)
    names, place = np.unique(band[rows], return_inverse=True)
    b, known = len(names), np.isfinite(right[rows])
    low, high = np.full(b, np.inf), np.full(b, -np.inf)
    np.minimum.at(low, place, score[rows])
    np.maximum.at(high, place, score[rows])
    return BandFacts(
        names.astype(np.int64),
        low,
        high,
        np.bincount(place, minlength=b),
        np.bincount(place, np.nan_to_num(tokens[rows]), b).astype(np.float64),
        np.bincount(place[known], minlength=b),
        np.bincount(place[known], right[rows][known], b).astype(np.int64),
    )
